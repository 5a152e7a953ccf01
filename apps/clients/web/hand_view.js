// One hand in three.js: a ball for each joint, a line for each bone, and the skin where it is sent.

import * as THREE from "three";
import { JOINT_COUNT, JOINT_ROW } from "./handstream.js";

const COLOURS = { left: 0x6cb6ff, right: 0xffb45c };

export class HandView extends THREE.Group {
  // parents: of each joint, from `hello`; topology: the answer of /v1/topology/SIDE, or null.
  constructor(side, parents, topology) {
    super();
    const color = COLOURS[side];
    this.bones = parents.flatMap((parent, joint) => (parent >= 0 ? [[parent, joint]] : []));
    this.balls = new THREE.InstancedMesh(
      new THREE.SphereGeometry(1, 16, 12), new THREE.MeshStandardMaterial({ color }), JOINT_COUNT,
    );
    const ends = new Float32Array(this.bones.length * 6);
    const geometry = new THREE.BufferGeometry().setAttribute("position", new THREE.BufferAttribute(ends, 3));
    this.lines = new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ color }));
    this.skin = topology && makeSkin(topology, color);
    this.add(this.balls, this.lines, ...(this.skin ? [this.skin] : []));
    // Everything moves every frame, so what three would compute once for culling is wrong at once.
    this.traverse((part) => { part.frustumCulled = false; });
  }

  update(hand) {
    this.visible = Boolean(hand?.joints);
    if (!this.visible) return;
    this.#moveJoints(hand.joints);
    if (this.skin) this.skin.visible = Boolean(hand.verts);
    if (!this.skin || !hand.verts) return;
    const position = this.skin.geometry.attributes.position;
    position.array.set(hand.verts);
    position.needsUpdate = true;
    this.skin.geometry.computeVertexNormals();
  }

  #moveJoints(joints) {
    const [place, turn, size, matrix] = [
      new THREE.Vector3(), new THREE.Quaternion(), new THREE.Vector3(), new THREE.Matrix4(),
    ];
    for (let joint = 0; joint < JOINT_COUNT; joint += 1) {
      const row = joint * JOINT_ROW;
      place.fromArray(joints, row);
      turn.fromArray(joints, row + 3);
      size.setScalar(joints[row + 7] * (this.skin ? 0.25 : 0.5));
      this.balls.setMatrixAt(joint, matrix.compose(place, turn, size));
    }
    this.balls.instanceMatrix.needsUpdate = true;
    const ends = this.lines.geometry.attributes.position;
    for (const [n, bone] of this.bones.entries()) {
      for (const [end, joint] of bone.entries()) {
        ends.setXYZ(2 * n + end, ...joints.subarray(joint * JOINT_ROW, joint * JOINT_ROW + 3));
      }
    }
    ends.needsUpdate = true;
  }
}

function makeSkin({ vertices, faces }, color) {
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(3 * vertices), 3));
  geometry.setIndex(faces.flat());
  const looks = { color, transparent: true, opacity: 0.55, side: THREE.DoubleSide };
  return new THREE.Mesh(geometry, new THREE.MeshStandardMaterial(looks));
}
