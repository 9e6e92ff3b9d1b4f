// The picture or clip: its preview, a clip's first picture, and its size.
import { byId } from "./dom.js";
import { nameReference } from "./words.js";

const CLIP = /^video\/|\.(mkv|avi|mov)$/i;
const PICTURES = byId("picture").accept;
const CLIPS = ",video/mp4,video/quicktime,video/webm,video/x-matroska,video/x-msvideo,.mkv,.avi";

// Calls `changed` with the size in pixels, upright, and a clip's seconds; null without a file, or with one that this
// browser cannot show.
export function watchPicture(changed) {
  const [picture, clip, stage] = [byId("preview"), byId("clip"), byId("stage")];
  const showing = (shown, unseen, size, seconds = null) => {
    stage.hidden = !shown;
    picture.hidden = shown !== picture;
    clip.hidden = shown !== clip;
    byId("unseen").hidden = !unseen;
    changed(size, seconds);
  };
  byId("picture").addEventListener("change", ({ target: { files: [file] } }) => {
    for (const each of [picture, clip]) {
      URL.revokeObjectURL(each.src);
      each.removeAttribute("src");
    }
    showing(null, false, null);
    if (!file) return;
    const moving = isClip(file);
    nameReference(moving ? "The clip" : "The picture");
    (moving ? clip : picture).src = URL.createObjectURL(file);
  });
  picture.addEventListener("load", () => showing(picture, false, { width: picture.naturalWidth, height: picture.naturalHeight }));
  clip.addEventListener("loadeddata", () => {
    if (!clip.videoWidth) showing(null, true, null); // sound alone, or pictures that this browser cannot decode
    else showing(clip, false, { width: clip.videoWidth, height: clip.videoHeight }, Number.isFinite(clip.duration) ? clip.duration : null);
  });
  for (const each of [picture, clip]) each.addEventListener("error", () => each.hasAttribute("src") && showing(null, true, null));
}

// Whether the weights take clips.
export function acceptClips(taken) {
  byId("picture").accept = taken ? PICTURES + CLIPS : PICTURES;
  byId("reference-kind").textContent = taken ? "Picture or clip" : "Picture";
  byId("clip-help").hidden = !taken;
}

const isClip = (file) => CLIP.test(file.type) || (!file.type && CLIP.test(file.name));
