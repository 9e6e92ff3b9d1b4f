// The microphone: records into a file as browsers make it (WebM or MP4), which the server takes as it is.
import { announce, show } from "./dom.js";
import { length } from "./words.js";

const KINDS = [["audio/webm;codecs=opus", "webm"], ["audio/mp4", "m4a"], ["audio/ogg;codecs=opus", "ogg"]];
const REASONS = {
  NotAllowedError: "The browser does not let this page use the microphone. Allow it beside the address, and try again.",
  NotFoundError: "No microphone was found.",
};
const TICK_MS = 200;

// Browsers give the microphone to pages of localhost and of HTTPS alone.
export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && globalThis.MediaRecorder);

export class Recorder {
  // `recorded` gets the file, `failed` a sentence.
  constructor(button, timer, { recorded, failed }) {
    Object.assign(this, { button, timer, recorded, failed, longest: Infinity, running: null });
    button.addEventListener("click", () => (this.active ? this.stop() : this.#start()));
  }

  stop() {
    this.running?.stop();
  }

  get active() {
    return this.running !== null;
  }

  async #start() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (problem) {
      this.failed(REASONS[problem.name] ?? `The microphone cannot be used: ${problem.message}`);
      return;
    }
    const [type, ending] = KINDS.find(([kind]) => MediaRecorder.isTypeSupported(kind)) ?? ["", "webm"];
    const [recorder, pieces, began] = [new MediaRecorder(stream, { mimeType: type }), [], performance.now()];
    const ticking = setInterval(() => {
      const seconds = (performance.now() - began) / 1000;
      show(this.timer, `${length(Math.floor(seconds))} of ${length(this.longest)} at most`);
      if (seconds >= this.longest - 0.5) recorder.stop();
    }, TICK_MS);
    recorder.addEventListener("dataavailable", ({ data }) => pieces.push(data));
    recorder.addEventListener("stop", () => {
      clearInterval(ticking);
      for (const track of stream.getTracks()) track.stop();
      this.#set(null);
      this.recorded(new File(pieces, `recording.${ending}`, { type: recorder.mimeType }));
    });
    recorder.start();
    this.#set(recorder);
  }

  #set(running) {
    this.running = running;
    this.button.textContent = running ? "Stop recording" : "Record";
    this.button.classList.toggle("recording", this.active);
    show(this.timer, "");
    announce(running ? "Recording." : "Recording stopped.");
  }
}
