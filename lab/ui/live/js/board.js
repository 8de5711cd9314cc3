// The board of a class (lab/ui/board/view.py): a line for each person, with place, result and
// interval on one scale, and what they train now.

import { element, loadOnce, write } from "./dom.js"

export class Board {
  constructor() {
    loadOnce("link", "board.css").catch(console.error)
    this.head = element("div", { class: "board-head" })
    this.list = element("ol", { class: "board-rows" })
    this.box = element("section", { class: "board" }, this.head, this.list)
    this.rows = new Map() // by person: a line keeps its element, so that it can move
  }

  draw(block) {
    const look = JSON.stringify(block)
    if (look === this.look) return
    this.look = look
    this.box.classList.toggle("board-unplaced", !block.rows.some(({ place }) => place))
    this.box.classList.toggle("board-large", Boolean(block.large))
    const many = Boolean(block.large) && block.rows.length > 12
    this.box.classList.toggle("board-many", many)
    this.box.style.setProperty("--lines", Math.max(4, many ? Math.ceil(block.rows.length / 2) : block.rows.length))
    this.box.setAttribute("aria-label", block.label)
    const scale = scaleOf(block)
    this.drawHead(block, scale)
    const before = new Map([...this.rows].map(([person, row]) => [person, row.box.offsetTop]))
    for (const [person, row] of this.rows) {
      if (!block.rows.some((each) => each.person === person)) {
        row.box.remove()
        this.rows.delete(person)
      }
    }
    for (const values of block.rows) {
      if (!this.rows.has(values.person)) this.rows.set(values.person, new Row())
      const row = this.rows.get(values.person)
      row.draw(values, scale)
      this.list.append(row.box)
    }
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return
    for (const [person, top] of before) {
      const box = this.rows.get(person)?.box
      const by = box ? top - box.offsetTop : 0
      if (by) box.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], { duration: 400, easing: "ease-out" })
    }
  }

  drawHead(block, scale) {
    const ticks = scale.ticks.map((tick) =>
      element("span", { style: `left:${scale.at(tick)}%` }, `${Math.round(tick * 100)}%`),
    )
    this.head.hidden = !block.rows.length
    this.head.replaceChildren(
      element("span", { class: "board-place" }),
      element("span", { class: "board-metric" }, block.metric),
      element("div", { class: "board-ticks", "aria-hidden": "true" }, ...ticks),
    )
  }
}

class Row {
  constructor() {
    this.place = element("span", { class: "board-place" })
    this.name = element("span", { class: "board-name" })
    this.run = element("a", { class: "board-run", target: "_self" })
    this.plot = element("div", { class: "board-plot", "aria-hidden": "true" })
    this.value = element("span", { class: "board-value" })
    this.interval = element("span", { class: "board-interval" })
    this.nowText = element("span", {})
    this.fill = element("span", {})
    this.bar = element("span", { class: "board-bar", "aria-hidden": "true" }, this.fill)
    this.now = element("a", { class: "board-now", target: "_self" }, this.nowText, this.bar)
    this.box = element(
      "li",
      {},
      this.place,
      element("span", { class: "board-who" }, this.name, this.run),
      this.plot,
      element("span", { class: "board-result" }, this.value, this.interval),
      this.now,
    )
  }

  draw(row, scale) {
    this.box.className = row.place === 1 ? "board-first" : ""
    write(this.place, row.place ? `${row.shared ? "=" : ""}${row.place}` : "–")
    write(this.name, row.name)
    write(this.run, row.run ?? "")
    this.run.hidden = !row.run
    if (row.href) this.run.href = row.href
    write(this.value, row.text)
    write(this.interval, row.interval)
    const marks = scale.ticks.map((tick) => element("i", { style: `left:${scale.at(tick)}%` }))
    if (row.value !== null && row.low !== null) {
      const [low, high] = [scale.at(row.low), scale.at(row.high)]
      marks.push(element("b", { style: `left:${low}%;width:${high - low}%` }))
    }
    if (row.value !== null) marks.push(element("em", { style: `left:${scale.at(row.value)}%` }))
    this.plot.replaceChildren(...marks)
    this.now.hidden = !row.now
    if (row.now) {
      write(this.nowText, row.now.text)
      this.now.href = row.now.href
      this.bar.hidden = row.now.share === null
      this.fill.style.width = `${Math.round((row.now.share ?? 0) * 1000) / 10}%`
    }
  }
}

/** From a round number below the lowest interval up to 100 %. */
function scaleOf({ rows }) {
  const lows = rows.map(({ low, value }) => low ?? value).filter((low) => low !== null)
  const floor = Math.max(0, Math.floor((Math.min(1, ...lows) - 0.02) * 10) / 10)
  const step = 1 - floor > 0.5 ? 0.25 : 1 - floor > 0.2 ? 0.1 : 0.05
  const ticks = []
  for (let tick = Math.ceil(floor / step - 1e-9) * step; tick <= 1 + 1e-9; tick += step) ticks.push(tick)
  return { ticks, at: (share) => (100 * (share - floor)) / (1 - floor || 1) }
}
