// The curves that move while a run trains: a panel a metric, drawn on a canvas by uPlot. Zoom and
// hover stay while points come.

import { element, loadOnce, readTheme, write } from "./dom.js"

const MOST_POINTS = 2000 // a line; then it is thinned to half
const MARKERS_UP_TO = 60 // epochs; more markers would hide their line

export const LINES = [
  { id: "batch", label: "Each batch" },
  { id: "smoothed", label: "Training, smoothed" },
  { id: "validation", label: "Validation" },
  { id: "best", label: "Best epoch" },
  { id: "before", label: "Run before" },
]

/** The points of a run: columns by name, steps and epochs ascending. */
export class History {
  constructor() {
    this.clear()
  }

  clear() {
    this.steps = []
    this.columns = {}
    this.epochs = []
    this.epochSteps = []
    this.epochColumns = {}
  }

  /** Adds what a message brings; what is here already may come again. */
  take(added) {
    if (added.whole) this.clear()
    const { step_columns: columns, epoch_columns: epochColumns } = added
    const length = Object.values(columns)[0]?.length ?? 0
    const steps = Array.isArray(added.step)
      ? added.step
      : Array.from({ length }, (_, i) => added.step + i)
    append(this.steps, this.columns, steps, columns)
    const from = firstAbove(added.epoch, this.epochs.at(-1) ?? 0)
    this.epochSteps.push(...added.epoch_step.slice(from))
    append(this.epochs, this.epochColumns, added.epoch, epochColumns)
    if (this.steps.length > MOST_POINTS) this.thin(MOST_POINTS / 2)
  }

  /** Keeps so many steps: of each stretch the lowest and the highest loss. */
  thin(count) {
    const shape = this.columns.loss ?? Object.values(this.columns)[0]
    const last = this.steps.length - 1
    const kept = new Set([0, last])
    const stretch = this.steps.length / (count / 2)
    for (let start = 0; start < last; start += stretch) {
      let low = Math.floor(start)
      let high = low
      for (let i = low; i < Math.min(last, Math.floor(start + stretch)); i++) {
        if (shape[i] < shape[low]) low = i
        if (shape[i] > shape[high]) high = i
      }
      kept.add(low).add(high)
    }
    const rows = [...kept].sort((a, b) => a - b)
    this.steps = rows.map((i) => this.steps[i])
    for (const name in this.columns) {
      const column = this.columns[name]
      this.columns[name] = rows.map((i) => column[i])
    }
  }
}

function append(keys, columns, newKeys, newColumns) {
  const from = firstAbove(newKeys, keys.at(-1) ?? 0)
  for (const name in newColumns) (columns[name] ??= []).push(...newColumns[name].slice(from))
  keys.push(...newKeys.slice(from))
}

function firstAbove(ascending, limit) {
  const index = ascending.findIndex((value) => value > limit)
  return index < 0 ? ascending.length : index
}

/** All panels of a run with their legend. */
export class Curves {
  constructor(root) {
    this.root = root
    this.emptyText = ""
    this.history = new History()
    this.best = null // epoch
    this.before = null // curves of the runs that it goes on from
    this.rateChanges = [] // by hand
    this.hidden = new Set() // lines
    this.wanted = new Map() // metric -> whether the person wants its panel
    this.metrics = []
    this.panels = []
    this.legend = element("div", { class: "live-legend", role: "group" })
    this.legend.setAttribute("aria-label", "Lines to show")
    this.row = element("div", { class: "live-panels" })
    this.choices = element("div", { class: "live-choices", role: "group", hidden: true })
    this.choices.setAttribute("aria-label", "Further metrics to show")
    root.replaceChildren(this.legend, this.row, this.choices)
    for (const { id, label } of LINES) {
      const button = element("button", { type: "button", "aria-pressed": "true" })
      if (id === "before") this.beforeButton = button
      button.append(swatch(id), label)
      button.onclick = () => {
        if (!this.hidden.delete(id)) this.hidden.add(id)
        button.setAttribute("aria-pressed", String(!this.hidden.has(id)))
        for (const panel of this.panels) panel.showLines()
      }
      this.legend.append(button)
    }
    this.beforeButton.hidden = true
    this.follow()
    this.resizes = new ResizeObserver(() => this.panels.forEach((panel) => panel.fit()))
    this.resizes.observe(this.row)
    this.ready = loadOnce("script", "vendor/uPlot.iife.min.js")
    loadOnce("link", "vendor/uPlot.min.css")
  }

  /** What an empty chart says from now on. */
  say(emptyText) {
    if (emptyText === this.emptyText) return
    this.emptyText = emptyText
    for (const panel of this.panels) panel.draw()
  }

  /** Everything of another run; the person's choices (hidden lines, log scale) stay. */
  clear() {
    this.history.clear()
    this.best = this.before = null
    for (const panel of this.panels) panel.reset()
  }

  /** Draws empty frames while the first message is on its way, so that its points are drawn at
   * once. */
  async prepare(metrics) {
    await this.ready.catch(() => {}) // `take` says it
    if (this.metrics.length) return
    this.metrics = metrics
    this.offer()
  }

  /** What a message of the stream brings. */
  async take({ history, metrics, alt, run, before }) {
    if (history) this.history.take(history)
    this.best = run.best_epoch
    this.rateChanges = run.rate_changes ?? []
    const branches = before !== undefined || (!run.parent && this.before)
    if (branches) this.before = before ?? null
    this.beforeButton.hidden = !this.before
    this.alt = alt ?? this.alt
    if (metrics) this.metrics = metrics
    try {
      await this.ready
    } catch (error) {
      console.error(error)
      this.row.textContent =
        "The curves could not be loaded; the numbers above are right all the same. Reload the " +
        "page to try again."
      return
    }
    this.follow()
    this.offer()
    if (branches) for (const panel of this.panels) panel.build()
    if (!document.hidden) for (const panel of this.panels) panel.draw()
  }

  /** A panel for each metric that is wanted, and a button for those at choice. */
  offer() {
    const wanted = this.metrics.filter(({ id, shown }) => this.wanted.get(id) ?? shown)
    const signature = JSON.stringify([this.metrics, wanted])
    if (signature === this.signature) return
    this.signature = signature
    const further = this.metrics.filter(({ shown }) => !shown)
    this.choices.replaceChildren(
      ...further.map(({ id, title }) => {
        const pressed = wanted.some((metric) => metric.id === id)
        const button = element("button", { type: "button", "aria-pressed": String(pressed) }, title)
        button.onclick = () => {
          this.wanted.set(id, !pressed)
          this.offer()
          for (const panel of this.panels) panel.draw()
          ;[...this.choices.children].find((other) => other.textContent === title)?.focus()
        }
        return button
      }),
    )
    this.choices.hidden = !further.length
    const kept = new Map(this.panels.map((panel) => [panel.metric.id, panel]))
    this.panels = wanted.map((metric) => kept.get(metric.id) ?? new Panel(this, metric))
    for (const [id, panel] of kept) if (!this.panels.includes(panel)) panel.destroy()
    this.row.replaceChildren(...this.panels.map((panel) => panel.box))
  }

  /** Follows light and dark. */
  follow() {
    const theme = readTheme(this.root)
    if (JSON.stringify(theme) === JSON.stringify(this.theme)) return
    this.theme = theme
    for (const name of ["train", "validation", "best"]) {
      this.root.style.setProperty(`--live-${name}`, theme[name])
    }
    this.root.style.setProperty("--live-before", translucent(theme.text, 0.55))
    for (const panel of this.panels) panel.build()
  }

  destroy() {
    this.resizes.disconnect()
    for (const panel of this.panels) panel.destroy()
  }
}

class Panel {
  constructor(curves, metric) {
    this.curves = curves
    this.metric = metric
    this.log = false
    this.zoomed = false
    this.empty = element("div", { class: "live-empty" })
    const spoken = { role: "img", tabindex: "0", "aria-label": metric.title }
    this.plot = element("div", { class: "live-plot", ...spoken })
    this.tip = element("div", { class: "live-tip", hidden: true, "aria-hidden": "true" })
    this.zoomOut = element("button", { type: "button", hidden: true }, "Reset zoom")
    this.zoomOut.onclick = () => {
      this.reset()
      this.draw()
    }
    const tools = element("div", { class: "live-tools" }, this.zoomOut)
    if (!metric.percent) {
      const log = element("button", { type: "button", "aria-pressed": "false" }, "Log scale")
      log.onclick = () => {
        this.log = !this.log
        log.setAttribute("aria-pressed", String(this.log))
        this.build()
      }
      tools.append(log)
    }
    const head = element(
      "div",
      { class: "live-head" },
      element("div", { class: "live-title" }, metric.title),
      tools,
    )
    this.box = element(
      "div",
      { class: "live-panel" },
      head,
      element("div", { class: "live-frame" }, this.plot, this.empty, this.tip),
    )
    this.plot.onkeydown = (event) => this.walk(event)
    this.plot.onblur = () => (this.tip.hidden = true)
    this.build()
  }

  /** The lines that this metric has: one of whole sets only has none of batches. */
  get lines() {
    const { batches } = this.metric
    const own = LINES.filter(({ id }) =>
      batches ? !["best", "before"].includes(id) : id === "validation",
    )
    if (!this.curves.before) return own
    const before = LINES.find(({ id }) => id === "before")
    const parts = batches ? ["smoothed", "validation"] : ["validation"]
    return [...own, ...parts.map((part) => ({ ...before, part }))]
  }

  reset() {
    this.zoomed = false
    this.zoomOut.hidden = true
  }

  height() {
    const { innerWidth, innerHeight } = window
    return Math.round(Math.min(560, Math.max(240, innerHeight * (innerWidth < 700 ? 0.3 : 0.38))))
  }

  width() {
    return this.plot.clientWidth || 300 // 0 in a tab that is not open
  }

  build() {
    this.uplot?.destroy()
    this.uplot = null
    this.plot.style.height = `${this.height()}px`
    this.draw()
  }

  draw() {
    const { curves } = this
    this.plot.setAttribute("aria-label", curves.alt?.[this.metric.id] ?? this.metric.title)
    const drawn = curves.history.steps.length > 0
    this.empty.hidden = drawn
    write(this.empty, curves.emptyText)
    if (!window.uPlot) return
    const data = this.data()
    if (this.uplot) this.uplot.setData(data, !this.zoomed)
    else this.uplot = this.plot.uplot = new window.uPlot(this.options(), data, this.plot)
  }

  /** Columns with one x for all lines, as uPlot wants them. */
  data() {
    const { history } = this.curves
    const { id, batches } = this.metric
    const shown = (values) => (this.log ? values.map((v) => (v > 0 ? v : null)) : values)
    const none = []
    const validation = [history.epochSteps, shown(history.epochColumns[`val_${id}`] ?? none)]
    const { before } = this.curves
    const tables = [validation]
    if (batches) {
      tables.unshift([
        history.steps,
        shown(history.columns[id] ?? none),
        shown(history.columns[`${id}_smoothed`] ?? none),
      ])
      if (before) tables.push([before.step, shown(before.smoothed[id] ?? none)])
    }
    if (before) tables.push([before.epoch_step, shown(before.validation[id] ?? none)])
    return tables.length > 1 ? window.uPlot.join(tables) : validation
  }

  options() {
    const { train, validation, text, border, font } = this.curves.theme
    const styles = {
      batch: { stroke: translucent(train, 0.4), width: 1 },
      smoothed: { stroke: train, width: 2.5 },
      validation: { stroke: validation, width: 2, dash: [7, 4] },
    }
    const before = { stroke: translucent(text, 0.55), width: 1.5 }
    const style = ({ id, part }) =>
      id === "before" ? { ...before, dash: part === "validation" ? [7, 4] : undefined } : styles[id]
    const axis = {
      stroke: text,
      font: `12px ${font}`,
      grid: { stroke: border, width: 1 },
      ticks: { stroke: border, width: 1, size: 4 },
    }
    return {
      width: this.width(),
      height: this.height(),
      legend: { show: false },
      padding: [8, 12, 0, 0],
      scales: {
        // A run's first steps fill up a frame instead of stretching a new one at each point.
        x: { time: false, range: (uplot, low, high) => this.span(low, high) },
        y: this.log ? { distr: 3 } : { range: (_, low, high) => this.range(low, high) },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 26,
          label: "step",
          labelSize: 16,
          labelFont: `12px ${font}`,
          values: (_, splits) => splits.map((v) => (v % 1 ? "" : v.toLocaleString("en"))),
        },
        {
          ...axis,
          size: 54,
          filter: this.log ? (_, splits) => readable(splits) : undefined,
          values: (_, splits) => splits.map((v) => (v === null ? "" : this.tick(v))),
        },
      ],
      series: [
        {},
        ...this.lines.map(({ id, part }) => ({
          ...style({ id, part }),
          show: !this.curves.hidden.has(id),
          spanGaps: id === "validation" || id === "before",
          points: {
            show: (uplot, line) =>
              id === "validation"
                ? this.curves.history.epochs.length <= MARKERS_UP_TO
                : id === "smoothed" && this.curves.history.steps.length < 2,
            size: 7,
            fill: style({ id, part }).stroke,
          },
        })),
      ],
      cursor: {
        drag: { x: true, y: true, uni: 24, setScale: true },
        points: { size: 7 },
        dataIdx: (uplot, line, index) => nearest(uplot.data[line], index),
      },
      hooks: {
        setCursor: [(uplot) => this.showTip(uplot)],
        setSelect: [
          (uplot) => {
            if (!uplot.select.width) return
            this.zoomed = true
            this.zoomOut.hidden = false
          },
        ],
        draw: [(uplot) => this.drawBest(uplot), (uplot) => this.drawRateChanges(uplot)],
        ready: [(uplot) => uplot.over.addEventListener("dblclick", () => this.reset())],
      },
    }
  }

  span(low, high) {
    if (this.zoomed && low !== null) return [low, high]
    return [0, Math.max(20, high ?? 0)]
  }

  range(low, high) {
    if (low === null || low === undefined) return [0, 1]
    if (!this.metric.percent) return [0, high > 0 ? high * 1.05 : 1]
    const room = Math.max(0.02, (high - low) * 0.06)
    return [Math.max(0, low - room), Math.min(1, high + room)]
  }

  tick(value) {
    if (this.metric.percent) return `${Number((value * 100).toFixed(1))}%`
    return String(Number(value.toPrecision(4)))
  }

  text(value) {
    if (value === null || value === undefined) return "–"
    return this.metric.percent ? `${(value * 100).toFixed(1)}%` : String(Number(value.toPrecision(4)))
  }

  showTip(uplot) {
    const { left, top, idx, idxs } = uplot.cursor
    const at = idx === null || idx === undefined ? null : uplot.data[0][idx]
    this.tip.hidden = at === null || left < 0
    if (this.tip.hidden) return
    const epochs = this.curves.history
    const lines = this.lines
      .map(({ id, label }, i) => {
        if (this.curves.hidden.has(id)) return null
        const where = idxs[i + 1]
        const value = where === null ? null : uplot.data[i + 1][where]
        if (value === null || value === undefined) return null
        const step = uplot.data[0][where]
        const epoch = id === "validation" ? epochs.epochs[epochs.epochSteps.indexOf(step)] : null
        const name = epoch ? `${label}, epoch ${epoch}` : label
        return element("div", {}, swatch(id), `${name}: ${this.text(value)}`)
      })
      .filter(Boolean)
    this.tip.replaceChildren(element("strong", {}, `step ${at.toLocaleString("en")}`), ...lines)
    const room = this.plot.clientWidth
    const x = left + uplot.bbox.left / devicePixelRatio
    const right = x > room / 2
    this.tip.style.left = right ? "" : `${x + 14}px`
    this.tip.style.right = right ? `${room - x + 14}px` : ""
    this.tip.style.top = `${Math.max(0, Math.min(top ?? 0, this.height() - 110))}px`
  }

  /** Arrow keys move along the curve, as the mouse does. */
  walk(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }
    if (event.key === "Escape") this.tip.hidden = true
    if (!(event.key in moves) || !this.uplot) return
    event.preventDefault()
    const [x] = this.uplot.data
    const jump = event.shiftKey ? 10 : 1
    const index = (this.at ?? x.length - 1) + moves[event.key] * jump
    this.at = Math.max(0, Math.min(x.length - 1, index))
    this.uplot.setCursor({ left: this.uplot.valToPos(x[this.at], "x"), top: 20 })
  }

  drawBest(uplot) {
    const { history, best, hidden, theme } = this.curves
    const row = history.epochs.indexOf(best)
    const value = history.epochColumns[`val_${this.metric.id}`]?.[row]
    if (row < 0 || value === null || value === undefined || hidden.has("best")) return
    const x = uplot.valToPos(history.epochSteps[row], "x", true)
    const y = uplot.valToPos(value, "y", true)
    const { left, top, width, height } = uplot.bbox
    if (x < left || x > left + width || y < top || y > top + height) return
    star(uplot.ctx, x, y, 9 * devicePixelRatio, theme.best, theme.background)
  }

  /** A line where a person changed the learning rate, with the new one at its foot. */
  drawRateChanges(uplot) {
    const { text, font } = this.curves.theme
    const { ctx, bbox } = uplot
    ctx.save()
    ctx.strokeStyle = ctx.fillStyle = text
    ctx.font = `${11 * devicePixelRatio}px ${font}`
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio])
    for (const { step, learning_rate: rate } of this.curves.rateChanges) {
      const x = uplot.valToPos(step - 0.5, "x", true)
      if (x < bbox.left || x > bbox.left + bbox.width) continue
      ctx.beginPath()
      ctx.moveTo(x, bbox.top)
      ctx.lineTo(x, bbox.top + bbox.height)
      ctx.stroke()
      const words = `rate ${Number(rate.toPrecision(3))}`
      const room = bbox.left + bbox.width - x
      ctx.textAlign = ctx.measureText(words).width + 8 > room ? "right" : "left"
      const gap = 4 * devicePixelRatio * (ctx.textAlign === "right" ? -1 : 1)
      ctx.fillText(words, x + gap, bbox.top + bbox.height - 6 * devicePixelRatio)
    }
    ctx.restore()
  }

  showLines() {
    this.lines.forEach(({ id }, i) => {
      this.uplot?.setSeries(i + 1, { show: !this.curves.hidden.has(id) })
    })
    this.uplot?.redraw()
  }

  fit() {
    if (!this.uplot) return void (this.plot.style.height = `${this.height()}px`)
    const width = this.width()
    const height = this.height()
    if (width === this.uplot.width && height === this.uplot.height) return
    this.plot.style.height = `${height}px`
    this.uplot.setSize({ width, height })
  }

  destroy() {
    this.uplot?.destroy()
    this.uplot = null
  }
}

/** The index nearest to `index` where the column has a number. */
function nearest(column, index) {
  if (index === null || typeof column[index] === "number") return index
  for (let away = 1; away < column.length; away++) {
    for (const i of [index - away, index + away]) if (typeof column[i] === "number") return i
  }
  return index
}

/** Of a log axis' ticks those with a label: 1, 2 and 5 of each power of ten, 1 where there are many
 * powers, all where there would be fewer than two. */
function readable(splits) {
  const powers = Math.log10(splits.at(-1) / splits[0])
  const digits = powers > 2.5 ? [1] : [1, 2, 5]
  const digit = (value) => Math.round(value / 10 ** Math.floor(Math.log10(value) + 1e-9))
  const few = splits.filter((value) => digits.includes(digit(value))).length < 2
  return splits.map((value) => (few || digits.includes(digit(value)) ? value : null))
}

function translucent(colour, alpha) {
  const hex = Math.round(alpha * 255).toString(16).padStart(2, "0")
  return /^#[0-9a-f]{6}$/i.test(colour) ? colour + hex : colour
}

function star(context, x, y, radius, fill, edge) {
  context.save()
  context.beginPath()
  for (let i = 0; i < 10; i++) {
    const r = i % 2 ? radius * 0.45 : radius
    const angle = (Math.PI * i) / 5 - Math.PI / 2
    context.lineTo(x + r * Math.cos(angle), y + r * Math.sin(angle))
  }
  context.closePath()
  context.fillStyle = fill
  context.strokeStyle = edge
  context.fill()
  context.stroke()
  context.restore()
}

/** A piece of the line as it looks in the chart. */
function swatch(id) {
  const colour = ["validation", "best", "before"].includes(id) ? id : "train"
  const shapes = {
    batch: '<path d="M1 7 7 3 12 8 18 4 23 6" stroke-width="1.2" opacity=".45"/>',
    smoothed: '<path d="M1 6H23" stroke-width="3"/>',
    validation:
      '<path d="M1 6H23" stroke-width="2" stroke-dasharray="5 3"/><circle cx="12" cy="6" r="3" fill="currentColor"/>',
    before: '<path d="M1 6H23" stroke-width="1.5"/>',
    best: '<path d="M12 0 13.6 4.3 18 4.5 14.5 7.2 15.7 11.6 12 9 8.3 11.6 9.5 7.2 6 4.5 10.4 4.3Z" fill="currentColor"/>',
  }
  const box = element("span", { class: "live-swatch", "aria-hidden": "true" })
  box.style.color = `var(--live-${colour})`
  box.innerHTML = `<svg width="24" height="12" fill="none" stroke="currentColor">${shapes[id]}</svg>`
  return box
}
