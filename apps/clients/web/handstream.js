// Hands from a Handloom stream, for browsers and node. No dependency.
//
//   const stream = new HandStream({ frame: "openxr" });
//   function draw() { const frame = stream.latest; ... requestAnimationFrame(draw); }
//
// `decodeFrame` reads `handstream.v1.bin`; `HandStream` keeps the newest frame and reconnects.

export const DEFAULT_URL = "ws://127.0.0.1:4263/v1/stream";
export const JOINT_COUNT = 26;
// A row of `joints`: x y z, quaternion x y z w, radius.
export const JOINT_ROW = 8;

const HEADER_BYTES = 48, HAND_BYTES = 32, SECTION_BYTES = 8;
const MAGIC = 0x48533100, FRAME = 1;
const SIDES = { 1: "left", 2: "right" };
const STATES = { 0: "lost", 1: "tracked", 2: "predicted" };
// Sections of plain 32-bit numbers: type, name and how many.
const PLAIN = {
  1: ["joints", 208], 2: ["kp3d", 63], 3: ["kp2d", 42], 4: ["mano", 61], 6: ["vel", 156], 7: ["pinch", 4],
};
const F32 = 0, VERTS = 5, F16_AROUND_ORIGIN = 2;
const FIRST_RETRY_MS = 250, LAST_RETRY_MS = 4000;

// Read one binary message. Parts are Float32Arrays that look into it, not copies; what is newer than
// this reader is left out. Throws a RangeError for anything damaged.
export function decodeFrame(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || view.getUint32(0) !== MAGIC || view.getUint8(5) !== FRAME) {
    throw new RangeError(`${buffer.byteLength} bytes that are no frame`);
  }
  let at = view.getUint16(6, true);
  const end = at + view.getUint32(44, true);
  if (at < HEADER_BYTES || end > buffer.byteLength) throw new RangeError("a frame is cut short");
  const hands = [];
  for (let n = view.getUint8(40); n > 0; n -= 1) {
    const length = at + HAND_BYTES <= end ? view.getUint32(at, true) : 0;
    if (length < HAND_BYTES || at + length > end) throw new RangeError("a hand overruns its frame");
    const hand = decodeHand(view, at, at + length);
    if (hand.side && hand.state) hands.push(hand);
    at += length;
  }
  return {
    frame: view.getUint32(8, true),
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
  };
  let at = start + HAND_BYTES;
  for (let n = view.getUint8(start + 10); n > 0; n -= 1) {
    const content = at + SECTION_BYTES;
    const length = content <= stop ? view.getUint32(at + 4, true) : Infinity;
    if (content + length > stop) throw new RangeError("a section overruns its hand");
    decodeSection(view, at, content, length, hand);
    at = content + length + (-length & 3);
  }
  return hand;
}

function decodeSection(view, at, content, length, hand) {
  const [type, encoding, count] = [view.getUint8(at), view.getUint8(at + 1), view.getUint16(at + 2, true)];
  if (encoding === F32 && type in PLAIN) {
    const [name, numbers] = PLAIN[type];
    expectBytes(name, length, 4 * numbers);
    hand[name] = new Float32Array(view.buffer, content, numbers);
  } else if (encoding === F16_AROUND_ORIGIN && type === VERTS) {
    expectBytes("verts", length, 12 + 6 * count);
    hand.verts = Float32Array.from({ length: 3 * count }, (_, i) => (
      view.getFloat32(content + 4 * (i % 3), true) + half(view.getUint16(content + 12 + 2 * i, true))
    ));
  }
}

function expectBytes(name, found, expected) {
  if (found !== expected) throw new RangeError(`${name} has ${found} bytes; expected ${expected}`);
}

// A 16-bit floating point number.
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}

// Follows one stream. `latest` is the newest frame, or null; `connected` says whether there is a line.
export class HandStream {
  constructor({ url = DEFAULT_URL, token = "", parts = ["joints"], frame = "openxr", onchange = () => {} } = {}) {
    this.url = token ? `${url}?token=${encodeURIComponent(token)}` : url;
    this.wanted = { type: "subscribe", parts, frame, flow: "ack", window: 2 };
    this.onchange = onchange;
    Object.assign(this, { latest: null, hello: null, connected: false, said: "" });
    this.retryMs = FIRST_RETRY_MS;
    this.#connect();
  }

  close() {
    this.closed = true;
    clearTimeout(this.retry);
    this.socket.close();
  }

  #connect() {
    const socket = new WebSocket(this.url, ["handstream.v1.bin"]);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.retryMs = FIRST_RETRY_MS;
      this.connected = true;
      socket.send(JSON.stringify(this.wanted));
      this.onchange();
    };
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.#note(JSON.parse(data)) : this.#take(data));
    socket.onclose = () => {
      Object.assign(this, { connected: false, subscribed: false, latest: null });
      this.onchange();
      if (this.closed) return;
      this.retry = setTimeout(() => this.#connect(), this.retryMs);
      this.retryMs = Math.min(LAST_RETRY_MS, 2 * this.retryMs);
    };
    socket.onerror = () => {}; // `close` follows, and tells as little
  }

  #note(message) {
    if (message.type === "hello") this.hello = message;
    if (message.type === "subscribed") this.subscribed = true;
    if (message.type === "error") this.said = message.message;
    this.onchange();
  }

  #take(data) {
    if (!this.subscribed) return; // still in nobody's axes
    try {
      this.latest = decodeFrame(data);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.said = error.message;
    }
    this.socket.send('{"type":"ack"}'); // one frame is done with, so the next may come
  }
}
