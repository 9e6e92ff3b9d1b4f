// One video: followed from its place in the queue to its end.
import { call, source } from "./api.js";
import { announce, byId, pause, reveal, show } from "./dom.js";
import { about, before, hasContent, isOpen, length, pixels, sentence, stateOf } from "./words.js";

const POLL_MS = 1000;
const MOST_MS = 15000;
const GONE = "The server no longer has this video: it was deleted, its time was over, or the server was restarted.";
const TITLE = document.title;

export class JobView {
  // `changed` is told when the state changes, `lost` when the server does not know the video any more.
  constructor({ changed, lost }) {
    Object.assign(this, { changed, lost, id: null, state: null });
    byId("cancel").addEventListener("click", () => this.#cancel());
  }

  // Follows a video until its end, or until another one is followed.
  async follow(id) {
    this.leave();
    this.id = id;
    for (let wait = POLL_MS; this.id === id; await pause(wait)) {
      try {
        const video = await call(`/v1/videos/${id}`);
        if (this.id !== id) return;
        wait = POLL_MS;
        this.#render(video);
        if (!isOpen(video)) return;
      } catch (problem) {
        if (this.id !== id) return;
        if (!problem.passing) {
          this.#end(problem);
          return;
        }
        wait = Math.min(2 * wait, MOST_MS);
        byId("left").textContent = `${problem.message} Trying again.`;
      }
    }
  }

  leave() {
    this.id = this.state = null;
    byId("job").hidden = true;
    URL.revokeObjectURL(byId("video").src);
    byId("video").removeAttribute("src");
    for (const name of ["video", "download", "reason"]) byId(name).hidden = true;
    document.title = TITLE;
  }

  #render(video) {
    const open = isOpen(video);
    byId("job").hidden = false;
    byId("state").textContent = stateOf(video) + (video.status === "in_progress" ? ` ${video.progress} %` : "");
    byId("job-prompt").textContent = video.prompt;
    byId("progress").value = video.progress;
    byId("progress").hidden = byId("cancel").hidden = !open;
    byId("left").textContent = open ? waitOf(video) : outcomeOf(video);
    document.title = `${byId("state").textContent} – ${TITLE}`;
    if (video.status === this.state) return;
    const first = this.state === null;
    this.state = video.status;
    if (video.status === "failed") show(byId("reason"), sentence(video.error));
    if (hasContent(video)) this.#play(video);
    if (first || (!open && !isBusy())) reveal(byId("job"), byId("state")); // the heading is read out then
    else announce(stateOf(video));
    this.changed();
  }

  async #play(video) {
    const part = video.status === "failed";
    const address = await source(`/v1/videos/${video.id}/content${part ? "?variant=partial" : ""}`);
    if (this.id !== video.id) return;
    byId("video").src = byId("download").href = address;
    byId("download").download = part ? `${video.id}-partial.mp4` : `${video.id}.mp4`;
    byId("video").hidden = byId("download").hidden = false;
  }

  #end(problem) {
    const gone = problem.status === 404;
    byId("job").hidden = false;
    byId("state").textContent = gone ? "Not here any more" : "Cannot be shown";
    byId("job-prompt").textContent = byId("left").textContent = "";
    byId("progress").hidden = byId("cancel").hidden = byId("video").hidden = byId("download").hidden = true;
    show(byId("reason"), gone ? GONE : sentence(problem));
    document.title = TITLE;
    reveal(byId("job"), byId("state"));
    this.id = this.state = null;
    if (gone) this.lost();
  }

  async #cancel() {
    byId("cancel").disabled = true;
    try {
      await call(`/v1/videos/${this.id}`, "DELETE");
    } catch (problem) {
      byId("left").textContent = problem.message;
    }
    byId("cancel").disabled = false;
  }
}

function waitOf({ queue_position: count, seconds_left: left }) {
  return [before(count), left === null ? "" : `${about(left)} left.`.replace(/^./, (letter) => letter.toUpperCase())].filter(Boolean).join(" ");
}

function outcomeOf(video) {
  if (video.partial_seconds) return `The first ${length(video.partial_seconds)} of ${length(Number(video.seconds))} were made, and are kept.`;
  return video.status === "completed" ? `${length(Number(video.seconds))}, ${pixels(video.size)} pixels` : "";
}

// Somebody who is filling in the form for the next video is not taken away from it.
const isBusy = () => Boolean(document.activeElement?.closest("#form") && document.activeElement.matches("input, textarea, select, .box"));
