// Draws a confusion matrix (lab/charts/confusion.py) as a table, tells about the cell under the
// pointer in a line below, and reports a click as [true, predicted].

const MANY = 8 // classes; then names that are longer than LETTERS stand on end above their columns
const LETTERS = 2
const CROWDED = 40 // then a cell is too small for a number
const KEYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }

const drawn = new WeakMap() // root -> what is drawn there, as text
const reports = new WeakMap() // root -> how to tell the page; a new one when the page around changes

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".matrix")
  reports.set(root, setTriggerValue)
  const wanted = JSON.stringify(data)
  if (drawn.get(root) === wanted) return // Streamlit calls at each run of the page
  drawn.set(root, wanted)
  draw(root, data)
}

function draw(root, { names, cells, chosen, alt, clickable }) {
  if (!cells.length) {
    root.replaceChildren(make("div", "No images", { class: "empty" }))
    return
  }
  const longest = Math.max(...names.map((name) => name.length))
  root.classList.toggle("many", names.length > MANY)
  root.classList.toggle("on-end", names.length > MANY && longest > LETTERS)
  root.classList.toggle("crowded", names.length > CROWDED)
  root.classList.toggle("clickable", clickable)
  root.style.setProperty("--classes", names.length)
  root.style.setProperty("--longest", longest)

  const full = new Map(cells.map((cell) => [cell.true * names.length + cell.predicted, cell]))
  const tell = (t, p) => {
    const about = full.get(t * names.length + p)?.about ?? "no image"
    return `true: ${names[t]}, predicted: ${names[p]} — ${about}`
  }
  const quiet = chosen ? tell(...chosen) : ""
  const line = make("p", quiet)
  const body = make("tbody")
  const grid = names.map((name, t) => {
    const row = make("tr")
    row.append(make("th", name, { scope: "row", title: name }))
    const tds = names.map((_, p) => {
      const cell = full.get(t * names.length + p)
      const about = tell(t, p)
      const td = make("td", cell?.text ?? "", { "aria-label": about, tabindex: -1 })
      if (cell) Object.assign(td.style, { background: cell.colour, color: cell.ink })
      td.onpointerenter = () => (line.textContent = about)
      td.onfocus = () => {
        line.textContent = about
        enterAt(td)
      }
      row.append(td)
      return td
    })
    body.append(row)
    return tds
  })
  const frame = ([t, p]) => {
    root.querySelector("td.chosen")?.classList.remove("chosen")
    grid[t][p].classList.add("chosen")
  }
  if (chosen) frame(chosen)
  // Tab stops at one cell, the last one that had the focus; arrows go on from there.
  let entry
  const enterAt = (td) => {
    if (entry) entry.tabIndex = -1
    entry = td
    entry.tabIndex = 0
  }
  const [first, second] = chosen ?? [0, 0]
  enterAt(grid[first][second])

  const choose = (cell) => {
    if (!clickable) return
    frame(cell) // at once; the page follows
    reports.get(root)("cell", cell)
  }
  body.onclick = (event) => {
    const td = event.target.closest("td")
    if (td) choose([td.parentElement.rowIndex - 2, td.cellIndex - 1])
  }
  body.onkeydown = (event) => {
    const td = event.target.closest("td")
    if (!td || event.altKey || event.ctrlKey || event.metaKey) return
    const at = [td.parentElement.rowIndex - 2, td.cellIndex - 1]
    const step = KEYS[event.key]
    if (step) grid[at[0] + step[0]]?.[at[1] + step[1]]?.focus()
    else if (event.key === "Enter" || event.key === " ") choose(at)
    else return
    event.preventDefault()
  }
  body.onpointerleave = () => (line.textContent = quiet)

  const table = make("table", "", { role: "grid", "aria-label": alt })
  table.append(columns(names), head(names), body)
  const focused = root.contains(root.getRootNode().activeElement)
  root.replaceChildren(table, line)
  if (focused) entry.focus({ preventScroll: true }) // it was in the table that went
}

function columns(names) {
  const group = make("colgroup")
  group.append(make("col", "", { class: "names" }), make("col", "", { span: names.length }))
  return group
}

function head(names) {
  const above = make("tr")
  above.append(make("th", "true ↓", { class: "axis", rowspan: 2 }))
  above.append(make("th", "predicted →", { class: "axis", colspan: names.length }))
  const row = make("tr")
  row.append(...names.map((name) => make("th", name, { scope: "col", title: name })))
  const head = make("thead")
  head.append(above, row)
  return head
}

function make(tag, text = "", attributes = {}) {
  const made = document.createElement(tag)
  for (const name in attributes) made.setAttribute(name, attributes[name])
  if (text) made.textContent = text
  return made
}
