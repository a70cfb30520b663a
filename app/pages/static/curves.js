// The training curves of a job, drawn with uPlot as the points arrive.
const SHARES = new Set(["val_accuracy", "teacher_agreement"]);
const WANTED = [
  ["reprogram", "loss", "Teacher: loss while it is adapted"],
  ["reprogram", "val_accuracy", "Teacher: accuracy on validation images"],
  ["distill", "loss", "Student: loss"],
  ["distill", "val_accuracy", "Student: accuracy on validation images"],
  ["distill", "teacher_agreement", "Student: agreement with its teacher"],
];
// what the student's accuracy is held against: both have answered the same validation images once stage 1 had ended
const LEVELS = [["teacher", "teacher_val_accuracy", "two", [6, 4]], ["probe", "probe_val_accuracy", "three", [2, 3]]];

export class Curves {
  constructor(section, place, none) {
    this.section = section;
    this.place = place;
    this.none = none;
    this.points = new Map(); // stage → step → values: what a resumed attempt says of a step counts
    this.plots = new Map();
    this.several = section.dataset.several === "1"; // their steps count on from one to the next, an event's do not
    this.leadStep = this.several ? null : Number(section.dataset.lead) || null;
    this.waiting = false;
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", () => { this.forget(); this.later(); });
    // a chart gets narrower when the next one comes beside it
    this.sizes = new ResizeObserver((found) => {
      for (const { target, contentRect } of found) this.plotOf(target)?.setSize({ width: Math.floor(contentRect.width), height: 220 });
    });
  }

  add(points) {
    for (const { stage, step, values } of points) {
      if (!this.points.has(stage)) this.points.set(stage, new Map());
      this.points.get(stage).set(step, values);
    }
    this.later();
  }

  lead(message) {
    if (this.several) return;
    this.leadStep = Number(/After (\d+) of/.exec(message)?.[1]) || null;
    this.forget();
    this.later();
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    setTimeout(() => { this.waiting = false; this.draw(); }, 250);
  }

  draw() {
    if (!window.uPlot) return;
    for (const [stage, name, title] of WANTED) {
      const { steps, series } = this.series(stage, name);
      if (steps.length < 2) continue;
      this.none.hidden = true;
      this.show(`${stage} ${name}`, title, name, steps, series, stage);
    }
  }

  // one line, or one for each of several students
  series(stage, name) {
    const found = [...(this.points.get(stage) || [])].sort(([a], [b]) => a - b);
    const keys = new Set();
    for (const [, values] of found) for (const key of Object.keys(values)) if (key === name || key.endsWith(`/${name}`)) keys.add(key);
    const used = found.filter(([, values]) => [...keys].some((key) => key in values));
    const lines = [...keys].map((key) => [key === name ? "" : key.slice(0, -name.length - 1), used.map(([, values]) => values[key] ?? null)]);
    return { steps: used.map(([step]) => step), series: lines };
  }

  show(id, title, name, steps, series, stage) {
    const levels = stage === "distill" && name === "val_accuracy" ? this.levels() : [];
    const data = [steps, ...series.map(([, values]) => values), ...levels.map(({ value }) => steps.map(() => value))];
    const known = this.plots.get(id);
    if (known && known.plot.series.length === data.length) {
      known.plot.setData(data);
    } else {
      known?.box.remove();
      this.plots.set(id, this.make(title, name, series, levels, data, stage));
    }
    const alone = series.length === 1; // of several the lines tell
    this.plots.get(id).latest.textContent = alone ? this.words(name, series[0][1].findLast((value) => value !== null)) : "";
  }

  make(title, name, series, levels, data, stage) {
    const box = document.createElement("div");
    box.className = "chart";
    const head = document.createElement("h3");
    const latest = document.createElement("span");
    latest.className = "soft";
    head.append(`${title} `, latest);
    const target = document.createElement("div");
    target.className = "plot";
    target.setAttribute("role", "img");
    target.setAttribute("aria-label", [title, ...levels.map(({ who, value }) => `${who} ${this.words(name, value)}`), ...this.marked(stage, data[0].at(-1)).map(([step, words]) => `${words} from step ${step}`)].join("; "));
    box.append(head, target);
    this.place.append(box);
    const colour = (token) => getComputedStyle(document.documentElement).getPropertyValue(`--${token}`).trim();
    const palette = ["one", "two", "three", "four"];
    const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") }, font: "12px system-ui" };
    const words = (value) => this.words(name, value);
    const options = {
      width: target.clientWidth || 380,
      height: 220,
      cursor: { y: false },
      legend: { show: series.length + levels.length > 1, live: false },
      scales: { x: { time: false }, y: { range: (plot, low, high) => this.range(name, low, high) } },
      axes: [{ ...axis, size: 34, values: (plot, found) => found.map((value) => value.toLocaleString("en")) }, { ...axis, size: 58, values: (plot, found) => found.map(words) }],
      series: [
        { label: "step" },
        ...series.map(([label], place) => ({ label: label || "student", stroke: colour(palette[place % 4]), width: 2, dash: place > 3 ? [6, 3] : undefined, spanGaps: true, points: { show: data[0].length < 30, size: 5 }, value: (plot, value) => words(value) })),
        ...levels.map(({ who, value, token, dash }) => ({ label: `${who} ${this.words(name, value)}`, stroke: colour(token), width: 1.5, dash, points: { show: false } })),
      ],
      hooks: { draw: [(plot) => this.marks(plot, stage, colour)] },
    };
    const plot = new window.uPlot(options, data, target);
    this.sizes.observe(target);
    return { box, latest, target, plot };
  }

  // a round of self-training begins; the labels take the lead
  marked(stage, last) {
    const at = [];
    if (stage === "distill" && this.leadStep) at.push([this.leadStep, "labels lead"]);
    const round = Number(this.section.dataset.rounds);
    if (stage === "reprogram" && round) for (let step = round; step < last; step += round) at.push([step, `round ${step / round + 1}`]);
    return at;
  }

  // upright lines
  marks(plot, stage, colour) {
    const at = this.marked(stage, plot.data[0].at(-1));
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour("soft");
    ctx.setLineDash([3, 4]);
    ctx.textAlign = "left";
    ctx.font = `${11 * devicePixelRatio}px system-ui`;
    for (const [step, words] of at) {
      const x = plot.valToPos(step, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(words, x + 5 * devicePixelRatio, bbox.top + 12 * devicePixelRatio);
    }
    ctx.restore();
  }

  levels() {
    const found = [...(this.points.get("reprogram") || []).values()];
    return LEVELS.map(([who, name, token, dash]) => ({ who, token, dash, value: found.findLast((values) => name in values)?.[name] })).filter(({ value }) => value !== undefined);
  }

  range(name, low, high) {
    if (low === null) return [0, 1];
    const margin = Math.max((high - low) * 0.1, 0.01);
    return SHARES.has(name) ? [Math.max(0, low - margin), Math.min(1, high + margin)] : [Math.max(0, low - margin), high + margin];
  }

  words(name, value) {
    if (value === null || value === undefined) return "";
    return SHARES.has(name) ? `${(100 * value).toFixed(1)} %` : value.toPrecision(3);
  }

  plotOf(target) {
    for (const each of this.plots.values()) if (each.target === target) return each.plot;
    return null;
  }

  forget() {
    for (const { plot, box } of this.plots.values()) { plot.destroy(); box.remove(); }
    this.plots.clear();
  }
}
