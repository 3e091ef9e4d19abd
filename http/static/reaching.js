// Asks other members. The page's own policy lets it ask no node but its own. A frame of the same site has one that names
// the members as they were when it was loaded; when others are told, a new frame takes its place.

const LINGER_MS = 60_000; // longer than any request has: in a frame that is gone, none would ever end

let frame = null; // {element, origins}
let next = null; // while it is loaded
let loads = 0;

export async function fetchAt(url, init) {
  if (!frame?.origins.includes(new URL(url).origin)) throw new TypeError("no frame may ask there yet");
  return frame.element.contentWindow.fetch(url, init);
}

// `urls` of the members. Called only while the node that served the page is asked: from there the frame comes.
export function reach(urls) {
  const origins = urls.map((url) => new URL(url).origin).sort();
  if (String(origins) === String((next ?? frame)?.origins ?? [])) return;
  next?.element.remove();
  const element = document.createElement("iframe");
  Object.assign(element, { hidden: true, title: "nothing to read", src: `/static/others.html?${++loads}` });
  const begun = next = { element, origins };
  element.addEventListener("load", () => take(begun), { once: true });
  document.body.append(element);
}

// If there was no answer, the browser shows a page of its own. Then the next look tries again.
function take(loaded) {
  next = null;
  const isOurs = loaded.element.contentDocument?.documentElement.id === "others";
  if (!isOurs) return loaded.element.remove();
  const left = frame;
  if (left) setTimeout(() => left.element.remove(), LINGER_MS);
  frame = loaded;
}
