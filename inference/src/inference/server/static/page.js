// The page for people: sends the form, polls the progress once a second, shows the video.
"use strict";

const POLL_MS = 1000;
const byId = (id) => document.getElementById(id);
const show = (id, text) => { byId(id).textContent = text; byId(id).hidden = !text; };
const words = { queued: "Waiting for its turn", in_progress: "Being made", completed: "Done", failed: "Failed", cancelled: "Cancelled" };
let current = null;

async function call(path, options) {
  const response = await fetch(path, options);
  const body = await response.json();
  if (!response.ok) throw new Error(body.error ? body.error.message : `${response.status} ${response.statusText}`);
  return body;
}

function filled(form) {
  // Fields that were left empty are left out: the server then takes its own defaults.
  const data = new FormData();
  for (const [name, value] of new FormData(form)) {
    if (value instanceof File ? value.size : value.trim()) data.append(name, value);
  }
  return data;
}

function render(video) {
  byId("job").hidden = false;
  const percent = video.status === "in_progress" ? ` ${video.progress} %` : "";
  byId("state").textContent = words[video.status] + percent;
  byId("progress").value = video.progress;
  const open = video.status === "queued" || video.status === "in_progress";
  byId("progress").hidden = byId("cancel").hidden = !open;
  byId("send").disabled = open;
  if (video.status === "failed") show("error", video.error.message);
  if (video.status === "completed") {
    const source = `/v1/videos/${video.id}/content`;
    byId("video").src = byId("download").href = source;
    byId("video").hidden = byId("download").hidden = false;
  }
  return open;
}

async function follow(id) {
  current = id;
  while (current === id) {
    let open = true;
    try {
      open = render(await call(`/v1/videos/${id}`));
      show("error", open ? "" : byId("error").textContent);
    } catch (problem) {
      show("error", problem.message);
    }
    if (!open) return;
    await new Promise((wake) => setTimeout(wake, POLL_MS));
  }
}

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  show("error", "");
  byId("video").hidden = byId("download").hidden = true;
  byId("video").removeAttribute("src");
  byId("send").disabled = true;
  try {
    const video = await call("/v1/videos", { method: "POST", body: filled(event.target) });
    render(video);
    follow(video.id);
  } catch (problem) {
    byId("send").disabled = false;
    show("error", problem.message);
  }
});

byId("cancel").addEventListener("click", async () => {
  try {
    await call(`/v1/videos/${current}`, { method: "DELETE" });
  } catch (problem) {
    show("error", problem.message);
  }
});

byId("form").elements.input_reference.addEventListener("change", (event) => {
  const [file] = event.target.files;
  const preview = byId("preview");
  URL.revokeObjectURL(preview.src);
  preview.hidden = !file;
  if (file) preview.src = URL.createObjectURL(file);
});

async function watchServer() {
  try {
    const state = await (await fetch("/readyz")).json();
    show("server", state.ready ? "" : `Not ready yet: ${state.waiting_for}.`);
    if (state.ready) return;
  } catch {
    show("server", "The server does not answer.");
  }
  setTimeout(watchServer, POLL_MS);
}
watchServer();
