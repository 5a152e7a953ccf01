// Drives three.js' XRHandMeshModel with one binary frame, and prints where the bones went.
//
//   node test_xr_hand_mesh_model.mjs FOLDER_OF_THE_THREE_PACKAGE FOLDER_OF_THE_WEB_CLIENT FRAME.bin [FOLDER_OF_GENERIC_HAND]
//
// Without a folder the hand is a made-up one: 25 bones of WebXR's names and one triangle. Answer, as
// JSON: {SIDE: {NAME_OF_JOINT: {position: [x, y, z], quaternion: [x, y, z, w]}}}, in world coordinates.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [packageFolder, clientFolder, frameFile, handFolder] = process.argv.slice(2);
const load = (folder, path) => import(pathToFileURL(join(folder, path)).href);
const THREE = await load(packageFolder, 'build/three.module.js');
const { XRHandMeshModel } = await load(packageFolder, 'examples/jsm/webxr/XRHandMeshModel.js');
const { GLTFLoader } = await load(packageFolder, 'examples/jsm/loaders/GLTFLoader.js');
const { decodeFrame } = await load(clientFolder, 'handstream.js');
const { WEBXR_JOINTS, XrHandSource } = await load(clientFolder, 'xr_hands.js');

globalThis.self = globalThis; // what the loader of textures expects of a browser
globalThis.createImageBitmap = async () => ({ width: 1, height: 1, close() {} });

const bytesOf = (path) => {
  const bytes = readFileSync(path);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
};

function madeUpHand() {
  const bones = WEBXR_JOINTS.map((name) => Object.assign(new THREE.Bone(), { name }));
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute('position', new THREE.Float32BufferAttribute(new Array(9).fill(0), 3));
  const mesh = new THREE.SkinnedMesh(geometry, new THREE.MeshBasicMaterial());
  const [scene, armature] = [new THREE.Group(), new THREE.Group()];
  scene.add(armature.add(mesh, ...bones));
  mesh.bind(new THREE.Skeleton(bones));
  return { scene };
}

async function drawnHand(side) {
  if (!handFolder) return madeUpHand();
  return new GLTFLoader().parseAsync(bytesOf(join(handFolder, `${side}.glb`)), '');
}

const answer = {};
for (const hand of decodeFrame(bytesOf(frameFile)).hands) {
  const gltf = await drawnHand(hand.side);
  const group = new THREE.Group();
  const source = new XrHandSource(THREE);
  const model = new XRHandMeshModel(group, source, 'nowhere/', hand.side, { load: (_, take) => take(gltf) });
  source.update(hand);
  model.updateMesh();
  group.updateMatrixWorld(true);
  answer[hand.side] = Object.fromEntries(model.bones.filter(Boolean).map((bone) => [bone.jointName, {
    position: bone.getWorldPosition(new THREE.Vector3()).toArray(),
    quaternion: bone.getWorldQuaternion(new THREE.Quaternion()).toArray(),
  }]));
}
process.stdout.write(JSON.stringify(answer));
