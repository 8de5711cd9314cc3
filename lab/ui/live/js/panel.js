// A part of a page that changes by itself (lab/api/panels.py): bars, texts, tables, charts.

import { element, loadOnce, mounted, write } from "./dom.js"
import { Board } from "./board.js"
import { Figure } from "./figure.js"
import { watch } from "./stream.js"

class PanelView {
  constructor(root) {
    this.root = root
    root.classList.add("live-panel-view")
    this.blocks = []
  }

  async receive({ data, setTriggerValue }) {
    this.trigger = setTriggerValue
    await (this.styled ??= loadOnce("link", "live.css").catch(console.error))
    this.state = data.panel.state
    this.told = null
    this.draw(data.panel)
    if (data.topic === this.topic) return
    this.topic = data.topic
    this.stop?.()
    this.stop = data.topic
      ? watch(data.topic, { message: (message) => this.take(message) })
      : null
  }

  take({ panel, gone }) {
    if (gone) return this.change("gone") // the server was started anew
    this.draw(panel)
    if (panel.state !== this.state) this.change(panel.state)
  }

  /** Once for each state: the page's script answers with a panel of that state. */
  change(state) {
    if (this.told === state) return
    this.told = state
    this.trigger("change", state)
  }

  draw({ blocks }) {
    const kinds = (list) => JSON.stringify(list.map(({ kind, name }) => [kind, name]))
    if (kinds(blocks) !== this.kinds) {
      this.kinds = kinds(blocks)
      for (const block of this.blocks) block.destroy?.()
      this.blocks = blocks.map(({ kind }) => new BLOCKS[kind]())
      this.root.replaceChildren(...this.blocks.map(({ box }) => box))
    }
    blocks.forEach((block, i) => this.blocks[i].draw(block))
  }

  destroy() {
    this.stop?.()
    for (const block of this.blocks) block.destroy?.()
  }
}

class Bar {
  constructor() {
    this.text = element("span", { class: "live-progress-text" })
    this.link = element("a", { target: "_self", hidden: true })
    this.fill = element("div", {})
    this.bar = element("div", { class: "live-bar", role: "progressbar" }, this.fill)
    this.box = element("div", {}, element("div", { class: "live-status" }, this.text, this.link), this.bar)
  }

  draw({ text, share, link }) {
    write(this.text, text)
    this.link.hidden = !link
    if (link) {
      write(this.link, link.text)
      this.link.href = link.href
    }
    const known = share !== null && share !== undefined
    this.bar.classList.toggle("live-bar-unknown", !known)
    this.fill.style.width = known ? `${Math.round(share * 1000) / 10}%` : ""
    this.bar.setAttribute("aria-label", text)
    if (known) this.bar.setAttribute("aria-valuenow", String(Math.round(share * 100)))
    else this.bar.removeAttribute("aria-valuenow")
  }
}

class Text {
  constructor() {
    this.box = element("p", {})
  }

  draw({ text, tone }) {
    this.box.className = `live-text live-${tone}`
    write(this.box, text)
  }
}

class Table {
  constructor() {
    this.head = element("thead", {})
    this.body = element("tbody", {})
    this.table = element("table", {}, this.head, this.body)
    this.box = element("div", { class: "live-table", tabindex: "0", role: "region" }, this.table)
    this.order = null // { column, down } once a person has pressed a heading
  }

  draw(block) {
    const look = JSON.stringify(block)
    if (look === this.look) return
    this.look = look
    this.block = block
    this.box.setAttribute("aria-label", block.label)
    this.head.replaceChildren(
      element(
        "tr",
        {},
        ...block.columns.map((title, i) => {
          const button = element("button", { type: "button", title: "Sort by this" }, title)
          button.onclick = () => this.sort(i)
          const sorted = this.order?.column === i ? (this.order.down ? "descending" : "ascending") : null
          const side = block.numeric[i] ? "live-number" : null
          return element("th", { scope: "col", "aria-sort": sorted, class: side }, button)
        }),
      ),
    )
    this.body.replaceChildren(
      ...this.rows().map((row) =>
        element(
          "tr",
          {},
          ...row.map((cell, i) => {
            const side = block.numeric[i] ? "live-number" : null
            return element("td", { class: side }, content(cell))
          }),
        ),
      ),
    )
  }

  sort(column) {
    const down = this.order?.column === column ? !this.order.down : this.block.numeric[column]
    this.order = { column, down }
    this.look = ""
    this.draw(this.block)
  }

  rows() {
    if (!this.order) return this.block.rows
    const { column, down } = this.order
    const value = (cell) => cell?.sort ?? cell?.text ?? cell ?? ""
    const sign = down ? -1 : 1
    return [...this.block.rows].sort((a, b) => {
      const [x, y] = [value(a[column]), value(b[column])]
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y))
      return sign * order
    })
  }
}

function content(cell) {
  if (cell?.href) return element("a", { href: cell.href, target: "_self" }, cell.text)
  return String(cell?.text ?? cell ?? "–")
}

class Chart {
  constructor() {
    this.box = element("div", { class: "live-chart-box" })
    this.figure = new Figure(this.box)
  }

  draw({ figure, alt }) {
    const look = JSON.stringify(figure)
    if (look === this.look) return this.figure.follow()
    this.look = look
    if (figure.layout.height) this.box.style.minHeight = `${figure.layout.height}px`
    this.figure.draw(figure, alt).catch((error) => {
      console.error(error)
      this.box.textContent = "The chart could not be loaded. Reload the page to try again."
    })
  }

  destroy() {
    this.figure.destroy()
  }
}

const BLOCKS = { bar: Bar, text: Text, table: Table, figure: Chart, board: Board }

export const render = mounted(PanelView)
