// Loads what the live view needs while the browser has nothing else to do; draws nothing.

import { loadOnce } from "./dom.js"

export function render() {
  const whenIdle = window.requestIdleCallback ?? setTimeout
  whenIdle(async () => {
    try {
      await import("./run_view.js")
      await loadOnce("script", "vendor/uPlot.iife.min.js")
      loadOnce("link", "vendor/uPlot.min.css")
      loadOnce("link", "live.css")
    } catch (error) {
      console.debug(error) // the view tries again, and says so
    }
  })
}
