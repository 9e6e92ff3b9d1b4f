// What a video will be and how long it will take, told before it is sent.
import { call } from "./api.js";
import { about, before, length, mebibytes, sentence } from "./words.js";

const SETTLED_MS = 300;
const WORTH_TELLING = 0.05;

// `ask` gives {picture, voices, mode, size, seconds, steps, bytes, longest}; the sentence goes into `target`.
export class Cost {
  constructor(target, ask) {
    Object.assign(this, { target, ask, number: 0 });
  }

  // Something has changed; waits until it is quiet.
  refresh() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.#tell(), SETTLED_MS);
  }

  async #tell() {
    const number = ++this.number;
    const asked = this.ask();
    const refused = (problem) => (problem.status === 400 ? sentence(problem) : "");
    const text = asked.picture ? await describe(asked).catch(refused) : "";
    if (number === this.number) this.target.textContent = text;
  }
}

// How long the video will be; null if nothing says so.
function videoSeconds({ voices, mode, seconds }) {
  const spoken = mode === "add" ? voices.reduce((sum, length) => sum + length, 0) : Math.max(0, ...voices);
  if (!spoken) return seconds;
  return seconds === null ? spoken : Math.min(spoken, seconds);
}

async function describe(asked) {
  const { picture, size, steps, bytes } = asked;
  const known = asked.voices.every((seconds) => seconds !== null); // else a browser cannot read a voice
  const seconds = known ? videoSeconds(asked) : null;
  if (seconds > asked.longest) return ""; // the voice says so
  const query = new URLSearchParams(picture);
  for (const [name, value] of Object.entries({ seconds, size, steps })) if (value) query.set(name, value);
  const made = await call(`/v1/estimate?${query}`);
  const frame = `The video will have ${made.width} × ${made.height} pixels`;
  const frames = known ? ` and ${made.frames} frames (${length(made.seconds)}).` : ".";
  return [frame + frames, cut(picture, made), known ? wait(made) : "", `${mebibytes(bytes)} to send.`].filter(Boolean).join(" ");
}

function wait({ queue_position: count, seconds_left: left }) {
  if (left === null) return `${before(count)} How long it takes can be told once the first video is made.`.trim();
  return count ? `${before(count)} Ready in ${about(left)}.` : `It takes ${about(left)}.`;
}

function cut(picture, made) {
  const [shape, target] = [picture.width / picture.height, made.width / made.height];
  const lost = 1 - Math.min(shape, target) / Math.max(shape, target);
  if (lost < WORTH_TELLING) return "";
  const sides = shape > target ? "left and right" : "at the top and the bottom";
  return `${Math.round(lost * 100)} % of the picture is cut off, ${sides}.`;
}
