// Milliseconds of the newest frames: from capture to publish, and from publish to this page.

const KEPT = 240, STEPS_MS = [5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000];

export class LatencyGraph {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.series = { tracking: [], line: [] };
    this.colours = { tracking: "#c792ea", line: "#4fd1c5" };
  }

  // A value that is not known yet is null, and leaves a hole.
  add(tracking, line) {
    for (const [name, value] of Object.entries({ tracking, line })) {
      this.series[name].push(value);
      if (this.series[name].length > KEPT) this.series[name].shift();
    }
  }

  median(name) {
    const known = this.series[name].filter((value) => value !== null).sort((a, b) => a - b);
    return known.length ? known[known.length >> 1] : null;
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const highest = Math.max(1, ...Object.values(this.series).flat());
    const top = STEPS_MS.find((step) => step >= highest) ?? highest;
    const y = (ms) => height - 4 - (Math.max(0, ms) / top) * (height - 18);
    this.#drawScale(width, top, y);
    for (const name of Object.keys(this.series)) this.#drawLine(name, width, y);
  }

  #drawScale(width, top, y) {
    Object.assign(this.pen, { strokeStyle: "#2e343e", fillStyle: "#8d97a6", lineWidth: 1 });
    this.pen.font = "11px system-ui, sans-serif";
    for (const ms of [0, top / 2, top]) {
      this.pen.beginPath();
      this.pen.moveTo(0, y(ms));
      this.pen.lineTo(width, y(ms));
      this.pen.stroke();
      if (ms) this.pen.fillText(`${+ms.toFixed(1)} ms`, 2, y(ms) - 2);
    }
  }

  #drawLine(name, width, y) {
    const values = this.series[name];
    Object.assign(this.pen, { strokeStyle: this.colours[name], lineWidth: 1.5 });
    this.pen.beginPath();
    let drawing = false;
    for (const [n, value] of values.entries()) {
      const x = width - ((values.length - 1 - n) / (KEPT - 1)) * width;
      if (value !== null && drawing) this.pen.lineTo(x, y(value));
      if (value !== null && !drawing) this.pen.moveTo(x, y(value));
      drawing = value !== null;
    }
    this.pen.stroke();
  }
}
