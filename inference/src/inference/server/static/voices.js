// The voices: a file or a recording for each person, played here, and how long it is.
import { byId, show } from "./dom.js";
import { canRecord, Recorder } from "./recorder.js";
import { length } from "./words.js";

const SIDES = ["on the left", "on the right"];

export class Voice {
  constructor(person, changed) {
    this.person = person;
    this.changed = changed;
    this.longest = Infinity;
    this.seconds = null; // null: there is none, or this browser cannot tell
    this.field = byId("voice").content.firstElementChild.cloneNode(true);
    this.field.dataset.person = person;
    this.input = this.#part("input");
    this.input.id = `voice-${person}`;
    this.#part(".file-label").htmlFor = this.input.id;
    this.#part(".badge").textContent = person;
    this.#part("audio").setAttribute("aria-label", `Voice ${person}`);
    this.input.addEventListener("change", () => this.#read());
    this.#part(".remove").addEventListener("click", () => this.take(null));
    this.#addRecorder();
    this.setPeople(1);
  }

  get file() {
    return this.input.files[0] ?? null;
  }

  get name() {
    return this.file ? this.file.name : "silent";
  }

  get recording() {
    return this.recorder?.active ?? false;
  }

  get tooLong() {
    return this.file !== null && this.seconds !== null && this.seconds > this.longest;
  }

  setPeople(count) {
    this.field.hidden = this.person > count;
    this.#part(".whose").textContent = count === 1 ? "Voice" : `Voice of the person ${SIDES[this.person - 1]}`;
    this.several = count > 1;
    if (this.field.hidden) this.recorder?.stop();
    this.#describe();
  }

  setLongest(seconds) {
    this.longest = seconds;
    if (this.recorder) this.recorder.longest = seconds;
    this.#describe();
  }

  // Puts a file into the field, as if it had been chosen there; null empties it.
  take(file) {
    const files = new DataTransfer();
    if (file) files.items.add(file);
    this.input.files = files.files;
    this.#read();
    if (!file) this.input.focus();
  }

  #part(selector) {
    return this.field.querySelector(selector);
  }

  #addRecorder() {
    const [button, timer] = [this.#part(".record"), this.#part(".timer")];
    if (canRecord()) {
      const failed = (reason) => show(this.#part(".warning"), reason);
      this.recorder = new Recorder(button, timer, { recorded: (file) => this.take(file), failed });
      return;
    }
    button.hidden = true;
    if (!isSecureContext) show(timer, "To record here, open this page over HTTPS, or as localhost.");
  }

  async #read() {
    const [file, audio] = [this.file, this.#part("audio")];
    URL.revokeObjectURL(audio.src);
    this.seconds = null;
    if (file) audio.src = URL.createObjectURL(file);
    else audio.removeAttribute("src");
    this.#describe();
    this.changed(this);
    if (!file) return;
    const seconds = await lengthOf(audio.src);
    if (file !== this.file) return; // another one was chosen meanwhile
    this.seconds = seconds;
    this.#describe();
    this.changed(this);
  }

  #describe() {
    const { file, seconds } = this;
    this.#part(".heard").hidden = !file;
    this.#part("audio").hidden = seconds === null;
    this.#part(".length").textContent = seconds === null ? "This browser cannot play it; it is sent as it is." : length(seconds);
    this.#part(".silence").hidden = Boolean(file) || !this.several;
    const warning = `Longer than the ${length(this.longest)} that this server takes. Choose a shorter one.`;
    show(this.#part(".warning"), this.tooLong ? warning : "");
  }
}

// In seconds; null if the browser cannot tell. A recording has no length in its head: only its end tells.
function lengthOf(url) {
  return new Promise((resolve) => {
    const probe = new Audio();
    const done = () => {
      if (Number.isFinite(probe.duration)) resolve(probe.duration);
      else probe.currentTime = Number.MAX_SAFE_INTEGER;
    };
    probe.preload = "metadata";
    probe.addEventListener("loadedmetadata", done);
    probe.addEventListener("durationchange", () => probe.readyState && done());
    probe.addEventListener("error", () => resolve(null));
    probe.src = url;
  });
}
