// The page for people: puts its parts together, and keeps the video that is looked at in the address.
import { call } from "./api.js";
import { Boxes } from "./boxes.js";
import { Cost } from "./cost.js";
import { announce, byId, pause, show } from "./dom.js";
import { VideoForm } from "./form.js";
import { History } from "./history.js";
import { JobView } from "./job.js";
import { acceptClips, watchPicture } from "./picture.js";
import { Voice } from "./voices.js";

const POLL_MS = 1000;
const VIDEO = /^#(video_[0-9a-f]+)$/;

let limits = { seconds: Infinity, upload_bytes: Infinity };
let picture = null;
let clipSeconds = null;
const form = byId("form");
const boxes = new Boxes(byId("stage"));
const voices = [1, 2].map((person) => new Voice(person, voiceChanged));
document.querySelector(".voices").append(...voices.map(({ field }) => field));
const videoForm = new VideoForm({ voices, boxes, limits: () => limits, clipSeconds: () => clipSeconds, accepted: (video) => { location.hash = video.id; } });
const cost = new Cost(byId("cost"), asked);
const history = new History({ deleted: (id) => { if (location.hash === `#${id}`) forget(); } });
const job = new JobView({
  changed: () => { history.refresh(); cost.refresh(); },
  lost: () => { window.history.replaceState(null, "", location.pathname); history.mark(null); history.refresh(); },
});

// What the estimate depends on.
function asked() {
  const number = (name) => (form.elements[name].value && form.elements[name].validity.valid ? Number(form.elements[name].value) : null);
  const spoken = videoForm.present.filter(({ file }) => file).map(({ seconds }) => seconds);
  return {
    picture, voices: spoken, bytes: videoForm.bytes, size: form.elements.size.value,
    mode: videoForm.bothTalk ? form.elements.audio_mode.value : "para", seconds: number("seconds"), steps: number("steps"),
    longest: limits.seconds,
  };
}

function changed() {
  for (const voice of voices) {
    boxes.setVoice(voice.person, voice.name);
    if (voice.several !== videoForm.people > 1) voice.setPeople(videoForm.people);
  }
  boxes.setShown(videoForm.people > 1);
  byId("both").hidden = !videoForm.bothTalk;
  cost.refresh();
}

function voiceChanged(voice) {
  if (voice.file && voice.person > videoForm.people) form.elements.people.value = String(voice.person);
  changed();
}

function open() {
  const [, id] = location.hash.match(VIDEO) ?? [];
  history.mark(id ?? null);
  if (id) job.follow(id);
  else job.leave();
}

function forget() {
  window.history.replaceState(null, "", location.pathname);
  open();
}

async function readModel() {
  const { data: [model] } = await call("/v1/models");
  limits = model.limits;
  acceptClips(model.input_modalities.includes("video"));
  for (const voice of voices) voice.setLongest(limits.seconds);
  for (const [name, value] of Object.entries(model.defaults)) {
    if (form.elements[name] && value !== null) form.elements[name].placeholder = String(value);
  }
}

async function watchServer() {
  for (let before = null; ; await pause(POLL_MS)) {
    const state = await fetch("/readyz").then((answer) => answer.json(), () => ({ state: "away" }));
    const told = { ready: "", away: "The server does not answer." }[state.state] ?? `Not ready yet: ${state.waiting_for}.`;
    show(byId("server"), told);
    if (state.state !== before && (before !== null || told)) announce(state.ready ? "The server is ready." : told);
    before = state.state;
    if (state.ready) break;
  }
  readModel().catch(() => {}); // what the weights take is known now
  cost.refresh();
}

watchPicture((size, seconds) => {
  picture = size;
  clipSeconds = seconds;
  boxes.setSize(size);
  cost.refresh();
});
form.addEventListener("change", changed);
form.addEventListener("input", () => cost.refresh());
addEventListener("hashchange", open);
changed();
open();
history.refresh();
readModel().catch(() => {}); // the form works without its limits and defaults
watchServer();
