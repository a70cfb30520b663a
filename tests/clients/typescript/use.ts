// What a user writes with the types that openapi-typescript makes of the document, and openapi-fetch.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Dataset = components["schemas"]["Dataset"];
type Job = components["schemas"]["Job"];
type JobCreate = components["schemas"]["JobCreate"];

const client = createClient<paths>({
  baseUrl: told("SERVICE"),
  headers: { Authorization: `Bearer ${told("KEY")}` },
});

function told(name: string): string {
  const value = process.env[name];
  assert(value, name);
  return value;
}

function form(body: { file: Blob }): FormData {
  const data = new FormData();
  data.append("file", body.file, "digits.zip");
  return data;
}

async function upload(archive: Blob): Promise<Dataset> {
  const { data, error } = await client.POST("/v1/datasets", {
    body: { file: archive },
    bodySerializer: (body) => form(body as { file: Blob }),
  });
  if (error) throw new Error(error.detail);
  let dataset: Dataset = data;
  while (dataset.state === "validating") {
    const next = await client.GET("/v1/datasets/{dataset_id}", {
      params: { path: { dataset_id: dataset.id }, query: { wait: 5 } },
    });
    if (next.error) throw new Error(next.error.detail);
    dataset = next.data;
  }
  assert.equal(dataset.state, "ready", dataset.error?.detail);
  return dataset;
}

async function train(spec: JobCreate): Promise<Job> {
  const { data, error } = await client.POST("/v1/jobs", {
    body: spec,
    params: { header: { "Idempotency-Key": "my-second-job" } },
  });
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  let job: Job = data;
  while (job.finished_at === null) {
    const next = await client.GET("/v1/jobs/{job_id}", { params: { path: { job_id: job.id }, query: { wait: 5 } } });
    if (next.error) throw new Error(next.error.detail);
    if (next.data) job = next.data;
  }
  assert.equal(job.state, "succeeded", job.error?.detail);
  return job;
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const dataset = await upload(new Blob([await readFile(told("ARCHIVE"))]));
assert.equal(dataset.sha256, told("ARCHIVE_SHA256"));
const job = await train({
  dataset_id: dataset.id,
  teacher: "resnet10t.glyphs62",
  student: "mobilenetv3_small_050",
  image_size: 32,
  views: { hflip: false, min_scale: 0.75 },
  distill: { image_steps: 24000 },
});
const listed = await client.GET("/v1/jobs/{job_id}/artifacts", { params: { path: { job_id: job.id } } });
const wanted = listed.data?.data.find((file) => file.name === "student.onnx");
assert(wanted);
const student = await client.GET("/v1/jobs/{job_id}/artifacts/{name}", {
  params: { path: { job_id: job.id, name: wanted.name } },
  parseAs: "blob",
});
if (student.error) throw new Error(student.error.detail);
assert.equal(sha256(new Uint8Array(await student.data.arrayBuffer())), wanted.sha256);
const missing = await client.GET("/v1/jobs/{job_id}", { params: { path: { job_id: "job_0" } } });
assert.equal(missing.error?.code satisfies components["schemas"]["ProblemCode"] | undefined, "not_found");
console.log(`downloaded ${student.data.size} bytes`);
