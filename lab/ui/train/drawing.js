// Puts a network's drawing (lab/charts/network.py) on the page; a click on a stage, or Enter,
// shows its layers, another one hides them.

const drawn = new WeakMap() // root -> the drawing there, as text
const open = new WeakMap() // root -> the name of the stage whose layers are shown

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".drawing")
  if (drawn.get(root) === data.html) return // Streamlit calls at each run of the page
  drawn.set(root, data.html)
  const focused = root.getRootNode().activeElement?.dataset?.stage
  root.innerHTML = data.html // every name in it is escaped
  const name = open.get(root)
  for (const button of root.querySelectorAll("button[data-stage]")) {
    button.onclick = () => show(root, button.ariaExpanded === "true" ? null : button)
    if (name && title(button) === name) show(root, button)
    if (button.dataset.stage === focused) button.focus({ preventScroll: true })
  }
}

function show(root, chosen) {
  for (const button of root.querySelectorAll("button[data-stage]")) {
    button.ariaExpanded = String(button === chosen)
    root.querySelector(`#stage-${button.dataset.stage}`).hidden = button !== chosen
  }
  open.set(root, chosen && title(chosen))
}

function title(button) {
  return button.querySelector("b").textContent
}
