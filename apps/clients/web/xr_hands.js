// A stream's hand in the shape of a WebXR one, for code that was written for headsets: three.js'
// XRHandMeshModel and the like, without an XR session.
//
//   const source = new XrHandSource(THREE);
//   const model = new XRHandMeshModel(group, source, PATH_OF_GENERIC_HAND, "right");
//   source.update(hand); model.updateMesh();

import { JOINT_ROW } from "./handstream.js";

const FINGERS = ["index", "middle", "ring", "pinky"];
const PARTS = ["metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip"];
// WebXR's 25 joints: OpenXR's 26 in the same order, without the palm.
export const WEBXR_JOINTS = [
  "wrist", "thumb-metacarpal", "thumb-phalanx-proximal", "thumb-phalanx-distal", "thumb-tip",
  ...FINGERS.flatMap((finger) => PARTS.map((part) => `${finger}-finger-${part}`)),
];

export class XrHandSource {
  constructor(THREE) {
    const joint = () => ({
      position: new THREE.Vector3(), quaternion: new THREE.Quaternion(), jointRadius: 0, visible: false,
    });
    this.joints = Object.fromEntries(WEBXR_JOINTS.map((name) => [name, joint()]));
  }

  // Take a hand of a frame in the axes `openxr` or `user`; null for one that is not in view.
  update(hand) {
    for (const [n, name] of WEBXR_JOINTS.entries()) {
      const joint = this.joints[name];
      joint.visible = Boolean(hand?.joints);
      if (!joint.visible) continue;
      const row = (n + 1) * JOINT_ROW;
      joint.position.fromArray(hand.joints, row);
      joint.quaternion.fromArray(hand.joints, row + 3);
      joint.jointRadius = hand.joints[row + 7];
    }
  }
}
