// The form: what is sent, what is refused before it is sent, and the upload.
import { upload } from "./api.js";
import { byId, show } from "./dom.js";
import { clearProblems, showProblem } from "./problems.js";
import { about, length, mebibytes, sentence } from "./words.js";

const LONG_MS = 1000;

export class VideoForm {
  constructor({ voices, boxes, limits, clipSeconds, accepted }) {
    Object.assign(this, { voices, boxes, limits, clipSeconds, accepted, form: byId("form"), sending: null });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    byId("stop-upload").addEventListener("click", () => this.sending?.abort());
  }

  get people() {
    return Number(this.form.elements.people.value);
  }

  // Fields that were left empty are left out: the server then takes its own defaults.
  data() {
    const data = new FormData();
    for (const [name, value] of new FormData(this.form)) {
      if (value instanceof File || name === "people" || (name === "audio_mode" && !this.bothTalk)) continue;
      if (value.trim()) data.append(name, value);
    }
    for (const box of this.boxes.fields()) data.append("box", box);
    for (const { file } of this.present) {
      if (file) data.append("audio", file);
      else if (this.people > 1) data.append("audio", "none");
    }
    data.append("input_reference", byId("picture").files[0]);
    return data;
  }

  // The voices of those who are in the picture.
  get present() {
    return this.voices.slice(0, this.people);
  }

  get bothTalk() {
    return this.people > 1 && this.voices.every(({ file }) => file);
  }

  get bytes() {
    const files = [byId("picture").files[0], ...this.present.map(({ file }) => file)];
    return files.reduce((sum, file) => sum + (file?.size ?? 0), 0);
  }

  // What can be known before an upload: [field, sentence, which of its controls].
  #problem() {
    const { seconds, upload_bytes: most } = this.limits();
    const loud = this.present.findIndex((voice) => voice.recording);
    const long = this.present.findIndex((voice) => voice.tooLong);
    if (!byId("picture").files.length) return ["input_reference", "Choose a picture first."];
    if (this.clipSeconds() > seconds) return ["input_reference", `The clip has ${length(this.clipSeconds())}, and the server takes ${length(seconds)} at most.`];
    if (loud >= 0) return ["audio", "Stop the recording first.", loud];
    if (long >= 0) return ["audio", `This voice has ${length(this.voices[long].seconds)}, and the server takes ${length(seconds)} at most.`, long];
    if (!byId("prompt").value.trim()) return ["prompt", "Say in a few words what the video shows."];
    if (this.bytes > most) return ["input_reference", `The files have ${mebibytes(this.bytes)}, and the server takes ${mebibytes(most)} at most.`];
    const wrong = [...this.form.elements].find((each) => each.type === "number" && !each.validity.valid);
    return wrong ? [wrong.name, wrong.validationMessage] : null;
  }

  async #submit() {
    if (this.sending) return;
    clearProblems();
    const problem = this.#problem();
    if (problem) {
      showProblem(...problem);
      return;
    }
    this.#setSending(new AbortController());
    const began = performance.now();
    try {
      const video = await upload("/v1/videos", this.data(), (done, all) => tellUpload(done, all, performance.now() - began), this.sending.signal);
      this.accepted(video);
    } catch (refused) {
      if (refused.name !== "AbortError") showProblem(refused.param, sentence(refused));
    } finally {
      this.#setSending(null);
    }
  }

  #setSending(sending) {
    this.sending = sending;
    byId("send").disabled = sending !== null;
    byId("upload").hidden = sending === null;
    byId("uploaded").value = 0;
    show(byId("upload-left"), "");
  }
}

function tellUpload(done, all, elapsedMs) {
  byId("uploaded").value = all ? done / all : 0;
  const left = done ? (elapsedMs * (all - done)) / done : 0;
  const time = elapsedMs > LONG_MS && left > LONG_MS ? `, ${about(left / 1000)} left` : "";
  show(byId("upload-left"), done < all ? `${mebibytes(done)} of ${mebibytes(all)}${time}` : "Sent. The server looks at the files.");
}
