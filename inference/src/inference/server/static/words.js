// What the API says, in the words of the page.

const FIELDS = {
  input_reference: "The picture", audio: "The voice", prompt: "What the video shows", box: "The boxes", size: "The size",
  seconds: "The longest length", audio_mode: "“Both voices”", steps: "The number of steps", seed: "The seed",
  text_guidance: "“Follow the words”", audio_guidance: "“Follow the voice”", shift: "The shift",
  negative_prompt: "“What it must not show”",
};
const ALIKE = /\b(input_reference|audio_mode|text_guidance|audio_guidance|negative_prompt)\b/g; // no words of a language
const STATES = {
  queued: "Waiting for its turn", in_progress: "Being made", completed: "Done", failed: "Failed", cancelled: "Cancelled",
};

export const stateOf = (video) => STATES[video.status] ?? video.status;
export const hasContent = (video) => video.status === "completed" || Boolean(video.partial_seconds); // all of it or a part
export const isOpen = (video) => video.status === "queued" || video.status === "in_progress";

// What the file with the people is called.
export function nameReference(name) {
  FIELDS.input_reference = name;
}

// A refusal as a sentence: the field by its name on the page, not by the API's.
export function sentence({ message, param }) {
  const [, text] = message.match(new RegExp(`^${param ?? ""}:?\\s+(.*)$`, "s")) ?? [null, message];
  const plain = text.replace(ALIKE, (name) => FIELDS[name]).replace("set seconds", "set the longest length");
  if (!FIELDS[param] || text === message) return capital(plain);
  return /^(is|are|has|have|must|can|cannot|of|needs?|does)\b/.test(plain) ? `${FIELDS[param]} ${plain}` : `${FIELDS[param]}: ${plain}`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// A length to be exact about: 8.2 s, 1 min 5 s.
export function length(seconds) {
  if (seconds < 60) return `${Math.round(seconds * 10) / 10} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

// A time to come, as people say it.
export function about(seconds) {
  if (seconds < 10) return "a few seconds";
  if (seconds < 90) return `about ${Math.ceil(seconds / 10) * 10} seconds`;
  if (seconds < 90 * 60) return `about ${Math.round(seconds / 60)} minutes`;
  return `about ${Math.round(seconds / 360) / 10} hours`;
}

export function before(count) {
  if (!count) return "";
  return count === 1 ? "One other video comes first." : `${count} other videos come first.`;
}

export const mebibytes = (bytes) => `${Math.max(0.1, Math.round(bytes / 2 ** 20 * 10) / 10)} MiB`;
export const pixels = (size) => size.replace("x", " × ");
