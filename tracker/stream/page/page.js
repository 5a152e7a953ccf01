// The page: connects to the server that served it, and shows what comes.

import { FRAMES, axesOf, decodeFrame, toOpenxr } from "./handstream.js";
import { LatencyGraph } from "./graph.js";
import { Scene } from "./scene.js";

const FIRST_RETRY_MS = 250, LAST_RETRY_MS = 4000, CLOCK_PERIOD_MS = 2000, TABLE_PERIOD_MS = 200;
const FIRST_CLOCKS = 5, KEPT_CLOCKS = 30;
const PICTURE_M = 0.06;
const byId = (id) => document.getElementById(id);

const scene = new Scene(byId("scene"));
const graph = new LatencyGraph(byId("graph"));
const state = {
  hello: null, camera: null, status: null, encoding: null,
  frame: null, axes: "openxr", axesToCome: "openxr", seen: 0, skipped: 0, damaged: 0, connections: 0, said: "",
  clocks: [], retryMs: FIRST_RETRY_MS, socket: null, fresh: false, lastArrival: 0,
};

function streamUrl() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token")
    ?? new URLSearchParams(location.search).get("token");
  const query = given ? `?token=${encodeURIComponent(given)}` : "";
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream${query}`;
}

function connect() {
  const socket = new WebSocket(streamUrl(), ["handstream.v1.bin"]);
  socket.binaryType = "arraybuffer";
  state.socket = socket;
  let opened = false;
  socket.onopen = () => {
    opened = true;
    state.connections += 1;
    Object.assign(state, { retryMs: FIRST_RETRY_MS, clocks: [], said: "" });
    show("live", "connected");
    subscribe();
    askTime();
  };
  socket.onmessage = ({ data }) => (typeof data === "string" ? takeMessage(JSON.parse(data)) : takeFrame(data));
  socket.onclose = () => {
    show("gone", opened ? "connection lost, trying again" : "no connection, trying again");
    if (!opened) state.said = "Does the server run? If it has a token, add #token=SECRET to the address.";
    Object.assign(state, { encoding: null, frame: null, status: null, fresh: true });
    setTimeout(connect, state.retryMs);
    state.retryMs = Math.min(LAST_RETRY_MS, 2 * state.retryMs);
  };
}

function show(kind, text) {
  byId("light").className = `light ${kind}`;
  byId("light").textContent = text;
}

function send(message) {
  if (state.socket.readyState === WebSocket.OPEN) state.socket.send(JSON.stringify(message));
}

function subscribe() {
  // Frames of the former axes may be under way: none is drawn until the server says `subscribed`.
  Object.assign(state, { encoding: null, seen: 0 });
  send({ type: "subscribe", parts: ["joints"], frame: byId("frame").value, flow: "ack", window: 2 });
}

function askTime() {
  send({ type: "time", t0: performance.now() });
}

function takeMessage(message) {
  if (message.type === "hello") {
    Object.assign(state, { hello: message, camera: message.camera });
  } else if (message.type === "status") {
    Object.assign(state, { status: message, camera: message.camera_info ?? state.camera });
  } else if (message.type === "subscribed") {
    Object.assign(state, { axesToCome: message.frame, encoding: message.encoding });
  } else if (message.type === "time") {
    const now = performance.now();
    // The server read its clock between question and answer; the quickest answer says it best.
    const clock = { trip: now - message.t0, offset: message.t1 / 1e6 - (now + message.t0) / 2 };
    state.clocks = [...state.clocks, clock].slice(-KEPT_CLOCKS);
    if (state.clocks.length < FIRST_CLOCKS) askTime();
  } else if (message.type === "error" || message.type === "bye") {
    state.said = `${message.type}: ${message.message ?? message.reason}`;
  }
}

// Null until it was asked often enough: a server that is busy starting answers the first question
// seconds late, and half of that would be taken for the way of every frame.
function serverClock() {
  if (state.clocks.length < FIRST_CLOCKS) return null;
  return state.clocks.reduce((best, clock) => (clock.trip < best.trip ? clock : best));
}

function takeFrame(data) {
  const now = performance.now();
  if (!state.encoding) return;
  let frame;
  try {
    frame = decodeFrame(data);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    state.damaged += 1;
    send({ type: "ack" });
    return;
  }
  if (state.seen) state.skipped += Math.max(0, frame.seq - state.seen - 1);
  const clock = serverClock();
  graph.add(frame.publishMs - frame.captureMs, clock && now + clock.offset - frame.publishMs);
  Object.assign(state, { seen: frame.seq, frame, axes: state.axesToCome, fresh: true, lastArrival: now });
}

// Acknowledging what was drawn, and not what came, keeps frames fresh, and a hidden page costs nothing.
function paint() {
  if (state.fresh || scene.moved) {
    const hands = (state.frame?.hands ?? []).filter((hand) => hand.joints).map(inOpenxr);
    const worldAxes = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((axis) => toOpenxr(state.axes, axis));
    const parents = state.hello?.skeletons.openxr26.parents ?? [];
    const shown = { axes: byId("axes").checked, radii: byId("radii").checked };
    scene.draw(hands, { parents, worldAxes, corners: pictureCorners(), shown });
    graph.draw();
    if (state.fresh && state.frame) send({ type: "ack", seq: state.frame.seq });
    state.fresh = false;
  }
  requestAnimationFrame(paint);
}

// The picture stays upright in every frame; numbers and the axes of world and joints are the frame's.
function inOpenxr(hand) {
  const { units } = FRAMES[state.axes];
  const joints = hand.joints.map(({ position, quaternion, radius }) => ({
    position: toOpenxr(state.axes, position, units),
    axes: axesOf(quaternion).map((axis) => toOpenxr(state.axes, axis)),
    radius: radius / units,
  }));
  return { ...hand, joints };
}

function pictureCorners() {
  if (!state.camera) return [];
  const { width, height, fx, fy, cx, cy } = state.camera;
  const at = (u, v) => [((u - cx) / fx) * PICTURE_M, (-(v - cy) / fy) * PICTURE_M, -PICTURE_M];
  return [at(0, 0), at(width, 0), at(width, height), at(0, height)];
}

function element(tag, text, kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = kind;
  return made;
}

function list(id, entries) {
  byId(id).replaceChildren(...entries.flatMap(([name, text, kind]) => [
    element("dt", name), element("dd", text, kind),
  ]));
}

const ms = (value) => (value === null || value === undefined ? "not known" : `${value.toFixed(1)} ms`);
const doubtful = (text) => [text, text === "assumed" ? "warn" : ""];

function showTables() {
  showHands(byId("hands"));
  const { status } = state;
  const quiet = state.lastArrival ? (performance.now() - state.lastArrival) / 1000 : null;
  list("stream", [
    ["published", status ? `${status.fps} frames/s` : "not known"],
    ["inference", ms(status?.infer_ms)],
    ["capture to publish", `${ms(graph.median("tracking"))} (median)`],
    ["publish to here", `${ms(graph.median("line"))} (median)`],
    ["newest frame", quiet === null ? "none yet" : `no. ${state.seen}, ${quiet.toFixed(1)} s ago`,
      quiet > 1 ? "warn" : ""],
    ["frames skipped here", `${state.skipped}`],
    ["frames damaged", `${state.damaged}`, state.damaged ? "warn" : ""],
    ["reconnects", `${Math.max(0, state.connections - 1)}`],
    ["clients", `${status?.clients ?? "not known"}`],
    ["camera", status?.camera ?? "not known", status?.camera === "lost" ? "warn" : ""],
  ]);
  showFacts();
  byId("hint").textContent = state.said;
}

function showHands(table) {
  const unit = FRAMES[state.axes].units === 1 ? "m" : "cm";
  const rows = (state.frame?.hands ?? []).map((hand) => [
    `${hand.side} ${hand.id}`, hand.state, hand.score.toFixed(2), hand.scale.toFixed(2),
    hand.joints ? hand.joints[1].position.map((value) => value.toFixed(unit === "m" ? 3 : 1)).join(" ") : "",
  ]);
  table.replaceChildren(
    tableRow("th", ["hand", "state", "score", "size", `wrist (${state.axes}, ${unit})`]),
    ...(rows.length ? rows.map((cells) => tableRow("td", cells)) : [tableRow("td", ["none in view"])]),
  );
}

function tableRow(tag, cells) {
  const row = document.createElement("tr");
  row.append(...cells.map((text) => element(tag, text)));
  return row;
}

function showFacts() {
  const { hello, camera } = state;
  if (!hello) return;
  list("facts", [
    ["server", `${hello.server}, ${hello.protocol}/${hello.v.join(".")}`],
    ["camera", camera ? `${camera.width} x ${camera.height}${camera.mirrored ? ", mirrored" : ""}` : "no frame yet"],
    ["intrinsics", ...doubtful(camera?.intrinsics ?? "not known")],
    ["focal length", camera ? `${camera.fx.toFixed(0)}, ${camera.fy.toFixed(0)} pixels` : "not known"],
    ["capture time", camera?.t_capture === "read_return" ? "when reading the picture returned" : camera?.t_capture ?? "not known"],
    ["size of the hand", ...doubtful(hello.scale.source)],
    ["wrist to middle MCP", `${(hello.scale.wrist_to_middle_mcp_m * 1000).toFixed(1)} mm in the mean hand`],
    ["camera in the world", hello.space.camera_in_world ? "known" : "not known: places are the camera's own"],
    ["smoothing", Object.entries(hello.filter).map(([name, value]) => (name === "name" ? value : `${name} ${value}`)).join(", ")],
    ["mesh", `${hello.mesh.model}, ${hello.mesh.vertices} vertices`],
  ]);
}

byId("frame").append(...Object.keys(FRAMES).map((name) => element("option", name)));
byId("frame").addEventListener("change", subscribe);
for (const id of ["axes", "radii"]) byId(id).addEventListener("change", () => { scene.moved = true; });
new ResizeObserver(() => { scene.moved = true; }).observe(byId("scene"));
setInterval(askTime, CLOCK_PERIOD_MS);
setInterval(showTables, TABLE_PERIOD_MS);
connect();
requestAnimationFrame(paint);
