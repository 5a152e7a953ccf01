// Loads a GLB with three.js, advances its animation to given times and prints the skinned vertices.
//
//   node three_reader.mjs FOLDER_OF_THE_THREE_PACKAGE FILE.glb '[0, 0.04, ...]'
//
// Answer, as JSON: {"revision", "duration_s", "meshes": {NAME: {"visible": [...], "vertices": [[x, y, z, ...], ...]}}}
// with one entry per time, world coordinates (glTF: y up), numbers as three.js computes them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [packageFolder, file, times] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(packageFolder, path)).href);
const THREE = await load('build/three.module.js');
const { GLTFLoader } = await load('examples/jsm/loaders/GLTFLoader.js');

const bytes = readFileSync(file);
const content = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const gltf = await new GLTFLoader().parseAsync(content, '');

const meshes = [];
gltf.scene.traverse((node) => { if (node.isSkinnedMesh) meshes.push(node); });
const [clip] = gltf.animations;
const mixer = new THREE.AnimationMixer(gltf.scene);
if (clip) {
  const action = mixer.clipAction(clip);
  action.setLoop(THREE.LoopOnce);
  action.clampWhenFinished = true;
  action.play();
}

const answer = { revision: THREE.REVISION, duration_s: clip ? clip.duration : 0, meshes: {} };
for (const mesh of meshes) answer.meshes[mesh.name] = { visible: [], vertices: [] };
const point = new THREE.Vector3();
for (const time of JSON.parse(times)) {
  mixer.setTime(time);
  gltf.scene.updateMatrixWorld(true);
  for (const mesh of meshes) {
    const count = mesh.geometry.attributes.position.count;
    const vertices = [];
    for (let i = 0; i < count; i++) {
      mesh.getVertexPosition(i, point).applyMatrix4(mesh.matrixWorld); // morph targets, then bones
      vertices.push(point.x, point.y, point.z);
    }
    answer.meshes[mesh.name].visible.push(mesh.skeleton.bones[0].parent.scale.x > 0.5);
    answer.meshes[mesh.name].vertices.push(vertices);
  }
}
process.stdout.write(JSON.stringify(answer));
