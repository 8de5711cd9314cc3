// The page's one connection to the server's event stream. A browser opens at most six connections
// to a server, so all components of a page share one, and a tab that nobody sees has none.
//
//   const stop = watch("run:r-1", { message(data) {...}, state(connected) {...} })

import { apiUrl } from "./dom.js"

const LONGEST_PAUSE = 30_000 // milliseconds between two tries
const HIDDEN_FOR = 2_000 // a glance at another tab keeps the connection

const topics = new Map() // topic -> { cursor, listeners }
let source = null
let timer = null
let pause = 500

/** Calls `listener.message` with a snapshot of `topic`, then with all that changes. Returns a
 * function that ends it. */
export function watch(topic, listener) {
  const entry = topics.get(topic) ?? { cursor: "", listeners: new Set() }
  entry.cursor = "" // the newcomer lacks all
  entry.listeners.add(listener)
  topics.set(topic, entry)
  connect(source ? 20 : 0) // several components of a page come one after the other
  return () => {
    entry.listeners.delete(listener)
    if (entry.listeners.size || topics.get(topic) !== entry) return
    topics.delete(topic)
    connect(20)
  }
}

function connect(milliseconds) {
  clearTimeout(timer)
  timer = setTimeout(open, milliseconds)
}

function open() {
  source?.close()
  source = null
  if (!topics.size || document.hidden) return
  const query = [...topics].map(([topic, { cursor }]) => {
    return `topic=${encodeURIComponent(cursor ? `${topic}@${cursor}` : topic)}`
  })
  const opened = (source = new EventSource(apiUrl(`events?${query.join("&")}`)))
  opened.onmessage = ({ data }) => {
    pause = 500
    const message = JSON.parse(data)
    const entry = topics.get(message.topic)
    if (!entry) return
    if (message.cursor) entry.cursor = message.cursor
    for (const listener of [...entry.listeners]) {
      listener.state?.(true)
      listener.message(message)
    }
  }
  opened.onerror = () => {
    if (opened !== source) return
    opened.close()
    source = null
    for (const { listeners } of topics.values()) {
      for (const listener of listeners) listener.state?.(false)
    }
    connect(pause)
    pause = Math.min(LONGEST_PAUSE, pause * 2)
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return source ? clearTimeout(timer) : connect(0)
  clearTimeout(timer)
  timer = setTimeout(() => {
    source?.close()
    source = null
  }, HIDDEN_FOR)
})
window.addEventListener("online", () => topics.size && !source && connect(0))
