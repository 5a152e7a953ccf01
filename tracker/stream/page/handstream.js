// Reading `handstream.v1.bin`, and the axes of its frames. Nothing here needs a browser.

const HEADER_BYTES = 48, HAND_BYTES = 32, SECTION_BYTES = 8;
const SIDES = { 1: "left", 2: "right" };
const STATES = { 0: "lost", 1: "tracked", 2: "predicted" };
const JOINTS = 1, F32 = 0, JOINT_COUNT = 26, ROW = 8;

// Entry i of a point in a frame is sign[i] * units * (entry take[i] of it in OpenXR's axes).
export const FRAMES = {
  openxr: { take: [0, 1, 2], sign: [1, 1, 1], units: 1 },
  user: { take: [0, 1, 2], sign: [-1, 1, -1], units: 1 },
  camera_cv: { take: [0, 1, 2], sign: [1, -1, -1], units: 1 },
  unity: { take: [0, 1, 2], sign: [1, 1, -1], units: 1 },
  unreal: { take: [2, 0, 1], sign: [-1, 1, 1], units: 100 },
  blender: { take: [0, 2, 1], sign: [1, -1, 1], units: 1 },
  ros: { take: [2, 0, 1], sign: [-1, -1, 1], units: 1 },
};

// Turn a direction or, with the frame's unit, a point back into OpenXR's axes.
export function toOpenxr(frame, vector, units = 1) {
  const { take, sign } = FRAMES[frame];
  const out = [0, 0, 0];
  for (let i = 0; i < 3; i += 1) out[take[i]] = (sign[i] * vector[i]) / units;
  return out;
}

// The three axes of a quaternion x, y, z, w: columns of its rotation.
export function axesOf([x, y, z, w]) {
  return [
    [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)],
    [2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)],
    [2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)],
  ];
}

// Read one binary message; sides, states and sections that are not known are left out.
export function decodeFrame(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || view.getUint32(0) !== 0x48533100 || view.getUint8(5) !== 1) {
    throw new RangeError(`${buffer.byteLength} bytes that are no frame`);
  }
  let at = view.getUint16(6, true);
  const end = at + view.getUint32(44, true);
  if (end > buffer.byteLength) throw new RangeError("a frame is cut short");
  const hands = [];
  for (let n = view.getUint8(40); n > 0; n -= 1) {
    const length = view.getUint32(at, true);
    if (length < HAND_BYTES || at + length > end) throw new RangeError("a hand overruns its frame");
    const hand = decodeHand(view, at, at + length);
    if (hand.side && hand.state) hands.push(hand);
    at += length;
  }
  return {
    session: view.getUint32(12, true),
    seq: Number(view.getBigUint64(16, true)),
    captureMs: Number(view.getBigInt64(24, true)) / 1e6,
    publishMs: Number(view.getBigInt64(32, true)) / 1e6,
    hands,
  };
}

function decodeHand(view, start, stop) {
  const hand = {
    id: view.getUint32(start + 4, true),
    side: SIDES[view.getUint8(start + 8)],
    state: STATES[view.getUint8(start + 9)],
    score: view.getFloat32(start + 12, true),
    emulated: view.getUint32(start + 20, true),
    scale: view.getFloat32(start + 24, true),
    joints: null,
  };
  let at = start + HAND_BYTES;
  for (let n = view.getUint8(start + 10); n > 0; n -= 1) {
    const length = view.getUint32(at + 4, true);
    const content = at + SECTION_BYTES;
    if (content + length > stop) throw new RangeError("a section overruns its hand");
    if (view.getUint8(at) === JOINTS && view.getUint8(at + 1) === F32) {
      hand.joints = decodeJoints(view, content, length);
    }
    at = content + length + (-length & 3);
  }
  return hand;
}

function decodeJoints(view, at, length) {
  if (length !== JOINT_COUNT * ROW * 4) throw new RangeError(`joints of ${length} bytes`);
  return Array.from({ length: JOINT_COUNT }, (_, joint) => {
    const number = (i) => view.getFloat32(at + (joint * ROW + i) * 4, true);
    return {
      position: [number(0), number(1), number(2)],
      quaternion: [number(3), number(4), number(5), number(6)],
      radius: number(7),
    };
  });
}
