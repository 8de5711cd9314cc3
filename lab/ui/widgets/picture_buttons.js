// Draws pictures as buttons in rows (picture_buttons.py) and reports the position of a pressed one.

const drawn = new WeakMap() // root -> what is drawn there, as text
const reports = new WeakMap() // root -> how to tell the page; a new one when the page around changes

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".pictures")
  reports.set(root, setTriggerValue)
  const wanted = JSON.stringify(data)
  if (drawn.get(root) === wanted) return // Streamlit calls at each run of the page
  drawn.set(root, wanted)
  const focused = [...root.children].indexOf(root.getRootNode().activeElement)
  root.setAttribute("role", "group")
  root.setAttribute("aria-label", data.label)
  root.style.setProperty("--side", `${data.side}px`)
  root.replaceChildren(...data.pictures.map((picture, position) => button(root, picture, position)))
  root.children[focused]?.focus({ preventScroll: true }) // it was on one that went
  const host = root.getRootNode().host
  if (!host) return
  // A dialog that closes gives the focus back to what the page knows, which is this whole element.
  host.tabIndex = -1
  host.style.outline = "none"
  host.onfocus = () => {
    if (!root.getRootNode().activeElement) root.querySelector("[data-pressed]")?.focus()
  }
}

function button(root, { source, alt, caption, chosen }, position) {
  const made = document.createElement("button")
  made.type = "button"
  made.title = alt
  made.setAttribute("aria-pressed", String(chosen))
  const image = document.createElement("img")
  image.src = source
  image.alt = alt
  if (source.startsWith("data:image/png")) image.className = "blocks"
  made.append(image)
  if (caption) {
    const text = document.createElement("span")
    text.textContent = caption
    text.setAttribute("aria-hidden", "true") // the picture's own text says it
    made.append(text)
  }
  made.onclick = () => {
    root.querySelector("[data-pressed]")?.removeAttribute("data-pressed")
    made.dataset.pressed = ""
    reports.get(root)("position", position)
  }
  return made
}
