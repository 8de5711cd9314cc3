// The live chart in the browser: keeps the points it has, adds what each tick brings, asks for the
// whole history when something is missing. One LiveChart for each place on the page.
//
// Messages come from lab/ui/run/live_feed.py. Streamlit calls `render` again at every tick and at every
// change of theme, and may call it for the next tick before it has finished with this one.

// A line. Then a thinned history is asked for, so that 2,000, where pages get slow, is not reached.
const MAX_POINTS = 1800

const charts = new WeakMap() // parentElement -> LiveChart

/** Fetches and reads what a chart needs while the browser has nothing else to do; Plotly alone is
 * half a second of reading. */
export function preload({ data }) {
  const whenIdle = window.requestIdleCallback ?? setTimeout
  // A failure is no matter here: the chart tries again, and says so.
  whenIdle(() => loadFiles(data.files).then(rehearse).catch(() => {}))
}

/** One plot that nobody sees: the first one of a page takes several times as long as the next. */
async function rehearse() {
  const stage = element("div", { style: "width:300px;height:200px" })
  await window.Plotly.newPlot(stage, [{ x: [0, 1], y: [0, 1], mode: "lines" }])
  await window.Plotly.extendTraces(stage, { x: [[2]], y: [[0]] }, [0])
  window.Plotly.purge(stage)
}

export function render({ data, parentElement, setTriggerValue }) {
  let chart = charts.get(parentElement)
  if (!chart) {
    chart = new LiveChart(parentElement.querySelector(".live-chart"))
    charts.set(parentElement, chart)
  }
  chart.askForAll = () => setTriggerValue("resync", chart.last)
  chart.receive(data)
  // Streamlit also calls this when the next tick overtakes a call that was still loading. The
  // element is then still on the page, and the chart must live on.
  return () =>
    setTimeout(() => {
      if (parentElement.isConnected) return
      chart.destroy()
      charts.delete(parentElement)
    })
}

/** The module of drawing rules, once the style sheet and Plotly are there too. */
async function loadFiles(files) {
  const [figure] = await Promise.all([
    import(new URL(files.figure, document.baseURI).href),
    once(files.style, "link", { href: files.style, rel: "stylesheet" }),
    once(files.plotly, "script", { src: files.plotly }),
  ])
  return figure
}

class LiveChart {
  constructor(root) {
    this.root = root
    this.hidden = new Set() // lines
    this.shown = new Map() // metric -> whether the person wants its panel
    this.waiting = [] // messages that came before Plotly was there
    this.seen = null
    this.asked = 0 // when the whole history was last asked for; 0: not waiting for one
    this.behind = false // points have come while the page was in a hidden tab, and are not drawn
    this.whenSeen = () => {
      if (this.panels && this.behind && !document.hidden) this.drawAll()
    }
    document.addEventListener("visibilitychange", this.whenSeen)
    this.forget(null)
  }

  /** Everything known of a run goes; the page's choices (hidden lines, log scale) stay. */
  forget(run) {
    this.run = run
    this.last = 0
    this.steps = []
    this.columns = {} // of a step, by name
    this.epochs = []
    this.epochSteps = []
    this.epochColumns = {}
    this.best = null
  }

  receive(data) {
    if (this.panels) this.take(data)
    else if (!this.gone) {
      this.waiting.push(data)
      this.loading ??= this.load(data)
    }
  }

  async load({ files, height, empty }) {
    // Roughly what the chart will take, so that the page below does not jump.
    this.root.style.minHeight = `${this.root.clientWidth > 640 ? height + 76 : 2 * height + 190}px`
    try {
      this.figure = await loadFiles(files)
    } catch (error) {
      this.root.textContent =
        "The chart could not be loaded; the numbers on this page are right all the same. " +
        "Reload the page to try again."
      console.error(error)
      this.gone = true
      return
    }
    if (this.gone) return // the page was left while Plotly loaded
    this.build(height, empty)
    for (const data of this.waiting.splice(0)) this.take(data)
  }

  /** The frame of the chart: a button a line, a button a panel that can be hidden. */
  build(height, empty) {
    this.height = height
    this.emptyText = empty
    this.legend = element("div", { class: "live-chart-legend", role: "group" })
    this.legend.setAttribute("aria-label", "Lines to show")
    for (const { id, label } of this.figure.SERIES) {
      const button = element("button", { type: "button", "aria-pressed": "true" })
      button.append(this.figure.swatch(id), label)
      button.onclick = () => {
        if (!this.hidden.delete(id)) this.hidden.add(id)
        button.setAttribute("aria-pressed", String(!this.hidden.has(id)))
        this.drawAll()
      }
      this.legend.append(button)
    }
    this.choices = element("div", { class: "live-chart-choices", role: "group" })
    this.choices.setAttribute("aria-label", "Further metrics to show")
    this.row = element("div", { class: "live-chart-panels" })
    this.panels = []
    this.root.replaceChildren(this.legend, this.row, this.choices)
    this.root.style.minHeight = ""
    this.follow(this.figure.readTheme(this.root))
    this.resizes = new ResizeObserver(() => this.panels?.forEach((panel) => fit(panel)))
    this.resizes.observe(this.row)
  }

  /** A panel for each of the run's metrics that is wanted, and a button for those at choice. */
  offer(metrics) {
    const wanted = metrics.filter(({ id, shown }) => this.shown.get(id) ?? shown)
    const signature = JSON.stringify([metrics, wanted])
    if (signature === this.signature) return
    this.signature = signature
    const buttons = metrics.filter(({ shown }) => !shown).map(({ id, title }) => {
      const pressed = wanted.some((metric) => metric.id === id)
      const button = element("button", { type: "button", "aria-pressed": String(pressed) }, title)
      button.onclick = () => {
        this.shown.set(id, !pressed)
        this.offer(metrics)
        this.choices.querySelectorAll("button").forEach((other) => {
          if (other.textContent === title) other.focus()
        })
      }
      return button
    })
    this.choices.replaceChildren(...buttons)
    this.choices.hidden = !buttons.length
    const kept = new Map(this.panels.map((panel) => [panel.id, panel]))
    this.panels = wanted.map((metric) => kept.get(metric.id) ?? this.buildPanel(metric))
    for (const [id, panel] of kept) {
      if (!this.panels.includes(panel)) window.Plotly.purge(panel.plot)
    }
    this.row.replaceChildren(...this.panels.map((panel) => panel.box))
    for (const panel of this.panels) {
      panel.empty.hidden = this.steps.length > 0
      if (!kept.has(panel.id)) this.draw(panel)
    }
  }

  buildPanel(metric) {
    const { height, emptyText } = this
    const panel = { ...metric, height, log: false, zooms: 0 }
    panel.plot = element("div", { role: "img", style: `height:${height}px` })
    panel.plot.setAttribute("aria-label", this.alt?.[metric.id] ?? metric.title)
    panel.empty = element("div", { class: "live-chart-empty" }, emptyText)
    const frame = element("div", { class: "live-chart-frame" })
    frame.append(panel.plot, panel.empty)

    panel.reset = element("button", { type: "button", hidden: "" }, "Reset zoom")
    panel.reset.onclick = () => {
      panel.zooms += 1
      panel.reset.hidden = true
      this.draw(panel)
    }
    const tools = element("div", { class: "live-chart-tools" })
    tools.append(panel.reset)
    if (!metric.percent) {
      const log = element("button", { type: "button", "aria-pressed": "false" }, "Log scale")
      log.onclick = () => {
        panel.log = !panel.log
        log.setAttribute("aria-pressed", String(panel.log))
        this.draw(panel)
      }
      tools.append(log)
    }
    const head = element("div", { class: "live-chart-head" })
    head.append(element("div", { class: "live-chart-title" }, metric.title), tools)
    panel.box = element("div", { class: "live-chart-panel" })
    panel.box.append(head, frame)
    return panel
  }

  /** One message: a whole history, or what is new with a few points that are known already. */
  take(data) {
    this.follow(this.figure.readTheme(this.root))
    if (data === this.seen) return // only the theme changed
    this.seen = data
    this.alt = data.alt
    this.emptyText = data.empty
    for (const panel of this.panels) {
      panel.plot.setAttribute("aria-label", data.alt[panel.id] ?? panel.title)
      panel.empty.textContent = data.empty
    }
    if (data.whole) {
      if (data.run !== this.run) for (const panel of this.panels) panel.reset.hidden = true
      this.asked = 0
      this.forget(data.run)
    } else if (data.run !== this.run || data.after > this.last) {
      return this.resync()
    }
    this.offer(data.metrics)
    const drawn = this.steps.length
    const added = this.append(data)
    const bestMoved = data.best_epoch !== this.best
    this.best = data.best_epoch
    if (this.steps.length > MAX_POINTS) this.resync()
    if (!added && !data.whole && !bestMoved) return
    for (const panel of this.panels) panel.empty.hidden = this.steps.length > 0
    // Nobody looks, and the training on the same machine has better use for the processor.
    if (document.hidden && drawn > 0) this.behind = true
    // A line of one point is drawn as a dot, and a moved best epoch moves a point: draw anew.
    else if (this.behind || data.whole || drawn < 2 || bestMoved) this.drawAll()
    else for (const panel of this.panels) this.extend(panel, added)
  }

  append(data) {
    const steps = Array.isArray(data.step)
      ? data.step
      : data.step_columns.loss.map((_, index) => data.step + index)
    const from = firstAbove(steps, this.last)
    const fromEpoch = firstAbove(data.epoch, this.epochs.at(-1) ?? 0)
    if (from === steps.length && fromEpoch === data.epoch.length) return null
    const added = {
      steps: steps.slice(from),
      epochs: data.epoch.slice(fromEpoch),
      epochSteps: data.epoch_step.slice(fromEpoch),
      columns: {},
    }
    for (const name in data.step_columns) {
      added.columns[name] = data.step_columns[name].slice(from)
      ;(this.columns[name] ??= []).push(...added.columns[name])
    }
    for (const name in data.epoch_columns) {
      added.columns[name] = data.epoch_columns[name].slice(fromEpoch)
      ;(this.epochColumns[name] ??= []).push(...added.columns[name])
    }
    this.steps.push(...added.steps)
    this.epochs.push(...added.epochs)
    this.epochSteps.push(...added.epochSteps)
    this.last = this.steps.at(-1) ?? 0
    return added
  }

  resync() {
    // Once, until the answer is there; again after a while in case it got lost.
    if (Date.now() - this.asked < 5000) return
    this.asked = Date.now()
    this.askForAll()
  }

  extend(panel, added) {
    const lines = this.figure.additions(panel, added)
    if (!lines.length) return
    const [x, y, customdata] = ["x", "y", "customdata"].map((part) => lines.map((l) => l[part]))
    window.Plotly.extendTraces(panel.plot, { x, y, customdata }, lines.map((l) => l.trace))
  }

  drawAll() {
    this.behind = false
    for (const panel of this.panels) this.draw(panel)
  }

  draw(panel) {
    const listens = panel.plot.classList.contains("js-plotly-plot")
    // Axes without a line lie unseen below the words that say so: a tenth of a second for nothing,
    // just when the first step is on its way.
    if (!listens && !this.steps.length) return
    const { traces, layout } = this.figure
    window.Plotly.react(panel.plot, traces(this, panel), layout(this, panel, widthOf(panel)), {
      displayModeBar: false,
      showTips: false,
      responsive: false,
      doubleClick: "reset+autosize",
    })
    if (listens) return
    panel.plot.on("plotly_relayout", (change) => {
      const keys = Object.keys(change)
      if (keys.some((key) => key.includes(".range"))) panel.reset.hidden = false
      else if (keys.some((key) => key.endsWith(".autorange"))) panel.reset.hidden = true
    })
  }

  follow(theme) {
    if (JSON.stringify(theme) === JSON.stringify(this.theme)) return
    this.theme = theme
    for (const name of ["train", "validation", "best"]) {
      this.root.style.setProperty(`--live-chart-${name}`, theme[name])
    }
    this.drawAll()
  }

  destroy() {
    this.gone = true
    this.resizes?.disconnect()
    document.removeEventListener("visibilitychange", this.whenSeen)
    for (const panel of this.panels ?? []) window.Plotly.purge(panel.plot)
    this.panels = null
  }
}

function fit(panel) {
  const width = widthOf(panel)
  const drawn = panel.plot._fullLayout
  if (drawn && width !== drawn.width) window.Plotly.relayout(panel.plot, { width })
}

function widthOf(panel) {
  return panel.plot.clientWidth || 300 // 0 in a tab that is not open
}

function firstAbove(ascending, limit) {
  const index = ascending.findIndex((value) => value > limit)
  return index < 0 ? ascending.length : index
}

function element(tag, attributes, text = "") {
  const made = document.createElement(tag)
  for (const name in attributes) made.setAttribute(name, attributes[name])
  made.textContent = text
  return made
}

/** Every file is loaded once a page, also when several charts ask for it at the same time. */
function once(url, tag, attributes) {
  const loaded = (window.trainscopeFiles ??= new Map())
  if (!loaded.has(url)) {
    const promise = new Promise((resolve, reject) => {
      const made = element(tag, attributes)
      made.onload = resolve
      made.onerror = () => reject(new Error(`${url} did not load`))
      document.head.append(made)
    })
    promise.catch(() => loaded.delete(url)) // the next chart may try again
    loaded.set(url, promise)
  }
  return loaded.get(url)
}
