// A picture with a square frame on it: drag to draw one, drag it, drag its corner. The frame goes to
// the page as [x, y, side]: its middle in shares of width and height, its side as a share of the
// shorter side (lab.evaluate.pictures.Crop).

const SMALLEST = 0.05 // of the shorter side
const STEP = 0.02 // of the shorter side, for an arrow key; five times that with Shift
const PATIENCE = 500 // ms after the last key before the page is told
const KEYS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }

const croppers = new WeakMap() // root -> its cropper

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".crop")
  if (!croppers.has(root)) croppers.set(root, cropper(root))
  croppers.get(root)(data, (cut) => setTriggerValue("cut", { cut }))
}

function cropper(root) {
  const [stage, image, frame, corner] = ["stage", "image", "frame", "corner"].map((name) =>
    root.querySelector(`.${name}`),
  )
  const [whole, start] = ["whole", "start"].map((name) => root.querySelector(`.${name}`))
  let tell = () => {}
  let width = 1 // of the picture, in units of its shorter side
  let height = 1
  let box = null // {left, top, side} in the same units, or null for the whole picture
  let drag = null
  let timer

  const inside = ({ left, top, side }) => {
    const limited = Math.min(Math.max(side, SMALLEST), 1)
    return {
      side: limited,
      left: Math.min(Math.max(0, left), width - limited),
      top: Math.min(Math.max(0, top), height - limited),
    }
  }
  const place = (next) => {
    box = next && inside(next)
    frame.hidden = whole.hidden = !box
    start.hidden = !!box
    if (!box) return
    frame.style.left = `${(100 * box.left) / width}%`
    frame.style.top = `${(100 * box.top) / height}%`
    frame.style.width = `${(100 * box.side) / width}%`
    frame.style.height = `${(100 * box.side) / height}%`
    const [x, y, side] = cut().map((share) => `${Math.round(100 * share)}%`)
    frame.setAttribute(
      "aria-label",
      `Frame: its middle ${x} from the left and ${y} from the top, its side ${side} of the shorter ` +
        "side. Arrow keys move it, plus and minus change its size, Delete removes it.",
    )
  }
  const cut = () =>
    box &&
    [(box.left + box.side / 2) / width, (box.top + box.side / 2) / height, box.side].map(
      (share) => Math.round(share * 1000) / 1000,
    )
  const report = () => {
    clearTimeout(timer)
    tell(cut())
  }
  const at = (event) => {
    const area = stage.getBoundingClientRect()
    return {
      x: ((event.clientX - area.left) / area.width) * width,
      y: ((event.clientY - area.top) / area.height) * height,
    }
  }

  stage.onpointerdown = (event) => {
    if (event.button) return
    const from = at(event)
    const kind = event.target === corner ? "size" : event.target === frame ? "move" : "draw"
    drag = { kind, from, before: box }
    stage.setPointerCapture(event.pointerId)
    if (kind === "draw") event.preventDefault()
  }
  stage.onpointermove = (event) => {
    if (!drag) return
    const { x, y } = at(event)
    const { kind, from, before } = drag
    if (kind === "move") {
      place({ ...before, left: before.left + x - from.x, top: before.top + y - from.y })
    } else if (kind === "size") {
      const room = Math.min(width - before.left, height - before.top)
      const side = Math.max(x - before.left, y - before.top)
      place({ ...before, side: Math.min(side, room) })
    } else {
      const side = Math.min(1, Math.max(Math.abs(x - from.x), Math.abs(y - from.y)))
      if (side < SMALLEST) return // a click is no frame
      const left = x < from.x ? from.x - side : from.x
      const top = y < from.y ? from.y - side : from.y
      place({ left, top, side })
    }
  }
  stage.onpointerup = () => {
    if (drag && box !== drag.before) report()
    drag = null
  }
  stage.onpointercancel = () => {
    if (drag) place(drag.before)
    drag = null
  }
  frame.onkeydown = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !box) return
    const step = STEP * (event.shiftKey ? 5 : 1)
    const move = KEYS[event.key]
    const grow = { "+": step, "=": step, "-": -step, _: -step }[event.key]
    if (move) place({ ...box, left: box.left + move[0] * step, top: box.top + move[1] * step })
    else if (grow) {
      place({ side: box.side + grow, left: box.left - grow / 2, top: box.top - grow / 2 })
    } else if (event.key === "Delete" || event.key === "Backspace") {
      whole.click()
      start.focus()
    } else return
    event.preventDefault()
    if (!box) return
    clearTimeout(timer)
    timer = setTimeout(report, PATIENCE)
  }
  start.onclick = () => {
    place({ side: 0.7, left: width / 2 - 0.35, top: height / 2 - 0.35 })
    frame.focus()
    report()
  }
  whole.onclick = () => {
    place(null)
    report()
  }

  let shown
  return (data, setCut) => {
    tell = setCut
    if (image.src !== data.src) image.src = data.src
    image.alt = data.alt
    const shorter = Math.min(...data.size)
    ;[width, height] = data.size.map((pixels) => pixels / shorter)
    const wanted = JSON.stringify([data.src, data.cut])
    if (shown === wanted || drag) return // a frame that is being moved is newer than the page's
    shown = wanted
    const [x, y, side] = data.cut ?? []
    place(data.cut && { side, left: x * width - side / 2, top: y * height - side / 2 })
  }
}
