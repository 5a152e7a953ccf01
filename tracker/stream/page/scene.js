// Hands in a 2D canvas, seen by a camera that turns about them. Everything is in OpenXR's axes.

const COLOURS = { left: "#6cb6ff", right: "#ffb45c", x: "#ff5d5d", y: "#57d364", z: "#5b8cff" };
const FIRST_PIVOT = [0, 0, -0.5];
const AXIS_M = 0.014, WORLD_AXIS_M = 0.08, NEAR_M = 0.02, FOCAL = 0.9;

export class Scene {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.reset();
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => event.buttons && this.#turn(event));
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("wheel", (event) => this.#zoom(event), { passive: false });
  }

  // Look where the tracking camera looks, from its own place.
  reset() {
    this.yaw = 0;
    this.pitch = 0;
    this.distance = 0.5;
    this.pivot = null;
    this.moved = true;
  }

  // hands: [{ side, state, emulated, joints: [{ position, axes, radius }] }]; worldAxes: 3 vectors;
  // corners: of the picture, a little before the tracking camera, or none where it is not known.
  draw(hands, { parents, worldAxes, corners, shown }) {
    this.#fit();
    this.#follow(hands);
    this.moved = false;
    const pieces = [...this.#cameraPieces(worldAxes, corners)];
    for (const hand of hands) pieces.push(...this.#handPieces(hand, parents, shown));
    pieces.sort((a, b) => b.depth - a.depth);
    for (const piece of pieces) piece.paint();
  }

  #fit() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.pen.setTransform(ratio, 0, 0, ratio, clientWidth * ratio * 0.5, clientHeight * ratio * 0.5);
    this.focal = Math.min(clientWidth, clientHeight) * FOCAL;
  }

  // Turn about a point before the tracking camera, as far away as the hands first seen. It stays
  // there, so that hands are seen to move.
  #follow(hands) {
    const points = hands.flatMap((hand) => hand.joints.map((joint) => joint.position));
    if (this.pivot || !points.length) return;
    this.pivot = [0, 0, points.reduce((sum, point) => sum + point[2], 0) / points.length];
    this.distance = Math.abs(this.pivot[2]);
  }

  #turn(event) {
    this.yaw -= event.movementX * 0.008;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + event.movementY * 0.008));
    this.moved = true;
  }

  #zoom(event) {
    event.preventDefault();
    this.distance = Math.max(0.1, Math.min(5, this.distance * Math.exp(event.deltaY * 0.001)));
    this.moved = true;
  }

  // To pixels from the canvas's centre, with the depth in metres; null behind the eye.
  #project(point) {
    const [x, y, z] = point.map((value, i) => value - (this.pivot ?? FIRST_PIVOT)[i]);
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    const across = cy * x - sy * z;
    const toward = sy * x + cy * z;
    const up = cp * y - sp * toward;
    const depth = this.distance - (sp * y + cp * toward);
    const size = this.focal / depth;
    return depth < NEAR_M ? null : { x: across * size, y: -up * size, size, depth };
  }

  #line(from, to, colour, width, lift = 0) {
    const [a, b] = [this.#project(from), this.#project(to)];
    if (!a || !b) return [];
    const paint = () => {
      Object.assign(this.pen, { strokeStyle: colour, lineWidth: width, lineCap: "round" });
      this.pen.beginPath();
      this.pen.moveTo(a.x, a.y);
      this.pen.lineTo(b.x, b.y);
      this.pen.stroke();
    };
    return [{ depth: (a.depth + b.depth) / 2 - lift, paint }];
  }

  #label(point, text, colour) {
    const at = this.#project(point);
    if (!at) return [];
    const paint = () => {
      Object.assign(this.pen, { fillStyle: colour, font: "600 13px system-ui, sans-serif" });
      this.pen.fillText(text, at.x + 3, at.y - 3);
    };
    return [{ depth: at.depth, paint }];
  }

  *#handPieces(hand, parents, shown) {
    const colour = COLOURS[hand.side];
    const faint = hand.state === "tracked" ? "" : "80";
    for (const [joint, { position, axes, radius }] of hand.joints.entries()) {
      if (parents[joint] >= 0) {
        yield* this.#line(hand.joints[parents[joint]].position, position, colour + faint, 3);
      }
      if (shown.radii) yield* this.#ball(position, radius, colour, (hand.emulated >> joint) & 1);
      if (!shown.axes) continue;
      for (const [i, name] of ["x", "y", "z"].entries()) {
        const tip = position.map((value, k) => value + AXIS_M * axes[i][k]);
        yield* this.#line(position, tip, COLOURS[name] + faint, 2, radius);
      }
    }
    yield* this.#label(hand.joints[1].position, `${hand.side} ${hand.id}`, colour);
  }

  *#ball(position, radius, colour, emulated) {
    const at = this.#project(position);
    if (!at) return;
    const paint = () => {
      Object.assign(this.pen, { fillStyle: `${colour}22`, strokeStyle: `${colour}99`, lineWidth: 1 });
      this.pen.setLineDash(emulated ? [3, 3] : []);
      this.pen.beginPath();
      this.pen.arc(at.x, at.y, radius * at.size, 0, 2 * Math.PI);
      this.pen.fill();
      this.pen.stroke();
      this.pen.setLineDash([]);
    };
    yield { depth: at.depth, paint };
  }

  // The tracking camera at the origin, the axes of the chosen frame, and the same in a corner.
  *#cameraPieces(worldAxes, corners) {
    for (const [n, corner] of corners.entries()) {
      yield* this.#line([0, 0, 0], corner, "#5b6472", 1);
      yield* this.#line(corner, corners[(n + 1) % corners.length], "#5b6472", 1);
    }
    for (const [i, name] of ["x", "y", "z"].entries()) {
      const tip = worldAxes[i].map((value) => value * WORLD_AXIS_M);
      yield* this.#line([0, 0, 0], tip, COLOURS[name], 2);
      yield* this.#label(tip, name.toUpperCase(), COLOURS[name]);
    }
    yield { depth: -Infinity, paint: () => this.#paintCorner(worldAxes) };
  }

  #paintCorner(worldAxes) {
    const [left, top] = [-this.canvas.clientWidth / 2 + 60, this.canvas.clientHeight / 2 - 60];
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    for (const [i, name] of ["x", "y", "z"].entries()) {
      const [x, y, z] = worldAxes[i];
      const end = [left + 36 * (cy * x - sy * z), top - 36 * (cp * y - sp * (sy * x + cy * z))];
      Object.assign(this.pen, { strokeStyle: COLOURS[name], fillStyle: COLOURS[name], lineWidth: 2 });
      this.pen.font = "600 13px system-ui, sans-serif";
      this.pen.beginPath();
      this.pen.moveTo(left, top);
      this.pen.lineTo(...end);
      this.pen.stroke();
      // An axis that points out of the picture has no length; its letter stays readable beside it.
      this.pen.fillText(name.toUpperCase(), end[0] + 4, end[1] - 4);
    }
  }
}
