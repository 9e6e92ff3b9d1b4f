// The videos that the server has, newest first, each a link to itself.
import { call, source } from "./api.js";
import { byId, element } from "./dom.js";
import { hasContent, isOpen, length, pixels, stateOf } from "./words.js";

const PAGE = 12;
const POLL_MS = 5000;

export class History {
  constructor({ deleted }) {
    Object.assign(this, { deleted, rows: new Map(), wanted: PAGE });
    byId("older").addEventListener("click", () => {
      this.wanted += PAGE;
      this.refresh();
    });
  }

  // Reads the list; again by itself as long as something in it is not finished.
  async refresh() {
    clearTimeout(this.next);
    const { data, has_more: more } = await call(`/v1/videos?limit=${Math.min(this.wanted, 100)}`).catch(() => ({ data: null }));
    clearTimeout(this.next);
    if (data === null || data.some(isOpen)) this.next = setTimeout(() => this.refresh(), POLL_MS);
    if (data === null) return;
    byId("history").hidden = data.length === 0;
    byId("older").hidden = !more || this.wanted >= 100;
    for (const [id, row] of this.rows) if (!data.some((video) => video.id === id)) this.#drop(id, row);
    data.forEach((video, place) => this.#put(video, place));
  }

  mark(id) {
    this.followed = id;
    for (const [key, { item, link }] of this.rows) {
      item.classList.toggle("followed", key === id);
      if (key === id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  #put(video, place) {
    const row = this.rows.get(video.id) ?? this.#make(video);
    const open = isOpen(video);
    const state = video.status === "in_progress" ? `${stateOf(video)} ${video.progress} %` : stateOf(video);
    row.about.textContent = [state, ...(hasContent(video) ? [length(video.partial_seconds ?? Number(video.seconds)), pixels(video.size)] : []), clock(video.created_at)].join(", ");
    row.remove.textContent = open ? "Cancel" : "Delete";
    row.remove.setAttribute("aria-label", `${row.remove.textContent}: ${video.prompt}`);
    row.open = open;
    if (hasContent(video)) this.#picture(video, row);
    const list = byId("videos");
    if (list.children[place] !== row.item) list.insertBefore(row.item, list.children[place] ?? null);
  }

  #make(video) {
    const thumbnail = element("img", { className: "thumbnail", alt: "", width: 96, height: 67 });
    const link = element("a", { href: `#${video.id}`, textContent: video.prompt });
    const about = element("div", { className: "hint" });
    const remove = element("button", { type: "button", className: "plain small" });
    const item = element("li", {}, thumbnail, element("div", { className: "words" }, link, about), remove);
    const row = { item, link, thumbnail, about, remove };
    thumbnail.addEventListener("error", () => thumbnail.removeAttribute("src"));
    remove.addEventListener("click", () => this.#remove(video.id, row));
    this.rows.set(video.id, row);
    this.mark(this.followed);
    return row;
  }

  async #picture(video, row) {
    if (row.pictured) return;
    row.pictured = true; // once, even if there is none
    row.thumbnail.src = await source(`/v1/videos/${video.id}/content?variant=thumbnail`).catch(() => "");
  }

  async #remove(id, row) {
    if (!row.open && !confirm("Delete this video? It cannot be brought back.")) return;
    const open = row.open; // the button stays as it is meanwhile: one that is disabled loses the keyboard
    await call(`/v1/videos/${id}`, "DELETE").catch(() => {});
    if (!open) this.deleted(id);
    await this.refresh();
  }

  #drop(id, { item }) {
    const held = item.contains(document.activeElement);
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    this.rows.delete(id);
    if (held) (next?.querySelector("a") ?? byId("picture")).focus();
  }
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
