// The picture: its preview and its size.
import { byId } from "./dom.js";

// Calls `changed` with the size in pixels, upright; null without a picture, or with one that this browser cannot show.
export function watchPicture(changed) {
  const [preview, stage] = [byId("preview"), byId("stage")];
  const showing = (shown, unseen, size) => {
    stage.hidden = !shown;
    byId("unseen").hidden = !unseen;
    changed(size);
  };
  byId("picture").addEventListener("change", ({ target: { files: [file] } }) => {
    URL.revokeObjectURL(preview.src);
    showing(false, false, null);
    if (file) preview.src = URL.createObjectURL(file);
    else preview.removeAttribute("src");
  });
  preview.addEventListener("load", () => showing(true, false, { width: preview.naturalWidth, height: preview.naturalHeight }));
  preview.addEventListener("error", () => showing(false, true, null));
}
