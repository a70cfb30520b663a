// The curves of several jobs in one chart each.
import { call } from "./page.js";
import { Curves } from "./curves.js";

const section = document.getElementById("compared");
const found = await call(`/v1/jobs/compare?ids=${section.dataset.jobs}`);
const curves = new Curves(section, document.getElementById("charts"), document.createElement("p"));
const points = new Map(); // by stage and step: a point has the values of all jobs
for (const job of found.jobs) {
  for (const { stage, name, steps, values } of job.curves) {
    const short = name.split("/").at(-1);
    const student = name.includes("/") ? ` ${name.slice(0, -short.length - 1)}` : "";
    for (const [place, step] of steps.entries()) {
      const key = `${stage} ${step}`;
      if (!points.has(key)) points.set(key, { stage, step, values: {} });
      points.get(key).values[`…${job.id.slice(-6)}${student}/${short}`] = values[place];
    }
  }
}
curves.add([...points.values()]);
