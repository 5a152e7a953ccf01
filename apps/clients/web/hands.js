// Draws the hands of a stream as the tracking camera sees them. Options in the address, as in
// `#url=ws://127.0.0.1:4263/v1/stream&token=SECRET`; the part behind # is not sent to any server.

import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { DEFAULT_URL, HandStream } from "./handstream.js";
import { HandView } from "./hand_view.js";

const VIEW_DEGREES = 45, FIRST_PIVOT_M = 0.5;
const options = new URLSearchParams(location.hash.slice(1));
const stream = new HandStream({
  url: options.get("url") ?? DEFAULT_URL,
  token: options.get("token") ?? "",
  parts: ["joints", "verts"],
  onchange: () => { prepare().catch((error) => { stream.said = error.message; }); tell(); },
});

const renderer = new THREE.WebGLRenderer({ antialias: true });
const scene = new THREE.Scene();
const camera = new THREE.PerspectiveCamera(VIEW_DEGREES, 1, 0.01, 10);
const controls = new OrbitControls(camera, renderer.domElement);
const views = {};
document.body.append(renderer.domElement);
scene.background = new THREE.Color(0x14171c);
scene.add(new THREE.HemisphereLight(0xffffff, 0x334455, 2.5), new THREE.AxesHelper(0.05));
controls.target.set(0, 0, -FIRST_PIVOT_M);
controls.update();

// The skeleton and the skin's triangles do not change: they are asked for once.
async function prepare() {
  if (!stream.hello || views.asked) return;
  views.asked = true;
  const { parents } = stream.hello.skeletons.openxr26;
  for (const side of ["left", "right"]) {
    const view = new HandView(side, parents, await topology(side));
    views[side] = view;
    scene.add(view);
  }
}

async function topology(side) {
  const address = new URL(stream.url);
  address.protocol = address.protocol === "wss:" ? "https:" : "http:";
  address.pathname = stream.hello.mesh.topology.replace("{side}", side);
  const answer = await fetch(address);
  return answer.ok ? answer.json() : null;
}

function tell() {
  const state = stream.connected ? "" : "no line to the stream, trying again";
  document.getElementById("state").textContent = stream.said || state;
}

function best(side) {
  const seen = (stream.latest?.hands ?? []).filter((hand) => hand.side === side && hand.state !== "lost");
  return seen.sort((a, b) => b.score - a.score)[0] ?? null;
}

function draw() {
  const { innerWidth: width, innerHeight: height } = window;
  renderer.setSize(width, height);
  camera.aspect = width / height;
  camera.updateProjectionMatrix();
  for (const side of ["left", "right"]) views[side]?.update(best(side));
  renderer.render(scene, camera);
}

renderer.setAnimationLoop(draw);
