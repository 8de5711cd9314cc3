// A zip, or a folder file by file, sent to the lab's API. No page script runs until all is there.

const AT_ONCE = 4 // files of a folder that are sent at the same time

const uploads = new WeakMap() // root -> its upload

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".upload")
  if (!uploads.has(root)) uploads.set(root, upload(root))
  const running = uploads.get(root)
  running.update(data, (done) => setTriggerValue("done", done))
  return () => {
    running.stop()
    uploads.delete(root)
  }
}

function upload(root) {
  const find = (name) => root.querySelector(`.${name}`)
  const [drop, sending, state, message] = ["drop", "sending", "state", "message"].map(find)
  const bar = root.querySelector("progress")
  let data = {}
  let report = () => {}
  let requests = new Set() // under way
  let cancelled = false

  const say = (text) => {
    message.textContent = text
    message.hidden = !text
  }
  const show = (isSending) => {
    drop.hidden = isSending
    sending.hidden = !isSending
  }
  const stop = () => {
    cancelled = true
    requests.forEach((request) => request.abort())
  }
  const cancel = async () => {
    stop()
    await fetch(address(`${data.url}/discard`), { method: "POST" }).catch(() => {})
  }

  const start = async (files, name) => {
    say("")
    if (!files.length) return say("There is no file in it.")
    const total = files.reduce((sum, { file }) => sum + file.size, 0)
    if (total > data.most)
      return say(
        `${name} has ${size(total)}; at most ${size(data.most)} are taken. Give its path on the lab's machine instead.`,
      )
    cancelled = false
    show(true)
    let whole = 0 // bytes of the files that are there
    let there = 0
    const underWay = new Map()
    const progress = () => {
      const sent = whole + [...underWay.values()].reduce((sum, bytes) => sum + bytes, 0)
      bar.value = total ? sent / total : 1
      const count = files.length > 1 ? `${there.toLocaleString("en")} of ${files.length.toLocaleString("en")} files, ` : ""
      state.textContent = `${count}${size(sent)} of ${size(total)}`
    }
    progress()
    const waiting = [...files]
    const work = async () => {
      while (waiting.length && !cancelled) {
        const each = waiting.shift()
        await send(each, (bytes) => {
          underWay.set(each, bytes)
          progress()
        })
        underWay.delete(each)
        whole += each.file.size
        there += 1
        progress()
      }
    }
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, work))
      if (!cancelled) report({ name, files: files.length, bytes: total })
    } catch (error) {
      const told = cancelled ? "" : error.message
      await cancel()
      say(told)
    }
    show(false)
  }

  // XMLHttpRequest: fetch tells nothing of how far a request body is.
  const send = ({ file, path }, onProgress) =>
    new Promise((done, fail) => {
      const request = new XMLHttpRequest()
      requests.add(request)
      request.upload.onprogress = ({ loaded }) => onProgress(Math.min(loaded, file.size))
      request.onloadend = () => {
        requests.delete(request)
        if (request.status === 200) return done()
        let told = ""
        try {
          told = JSON.parse(request.responseText).error
        } catch {
          // no answer of the lab's
        }
        fail(new Error(told || "The upload broke off: the lab does not answer. Try again."))
      }
      request.open("POST", address(data.url) + (path ? `?path=${encodeURIComponent(path)}` : ""))
      request.setRequestHeader("Content-Type", "application/octet-stream")
      request.send(file)
    })

  const take = (files) => {
    files = files.filter(({ path }) => !path.split("/").some((part) => part.startsWith(".")))
    if (files.length === 1 && /\.zip$/i.test(files[0].path))
      return start([{ file: files[0].file, path: "" }], files[0].file.name)
    const name = files.length ? files[0].path.split("/")[0] : "The folder"
    return start(files, name)
  }
  const zipInput = find("zip-input")
  const folderInput = find("folder-input")
  find("zip").onclick = () => zipInput.click()
  find("folder").onclick = () => folderInput.click()
  zipInput.onchange = () => take([...zipInput.files].map((file) => ({ file, path: file.name })))
  folderInput.onchange = () =>
    take([...folderInput.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })))
  find("cancel").onclick = async () => {
    await cancel()
    show(false)
  }
  drop.ondragover = (event) => {
    event.preventDefault()
    drop.classList.add("over")
  }
  drop.ondragleave = () => drop.classList.remove("over")
  drop.ondrop = async (event) => {
    event.preventDefault()
    drop.classList.remove("over")
    // The entries are gone once this event is over, so they are taken before anything is awaited.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean)
    take((await Promise.all(entries.map((entry) => filesOf(entry)))).flat())
  }

  return {
    stop,
    update: (newData, onDone) => {
      data = newData
      report = onDone
      find("words").textContent = data.words
    },
  }
}

async function filesOf(entry, above = "") {
  const path = above + entry.name
  if (entry.isFile) return [{ file: await new Promise((done, fail) => entry.file(done, fail)), path }]
  const reader = entry.createReader()
  const files = []
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail)) // 100 at most
    if (!some.length) return files
    for (const each of some) files.push(...(await filesOf(each, `${path}/`)))
  }
}

// Beside the page, also where the lab is served below a path.
const address = (url) => location.pathname.replace(/\/[^/]*$/, "") + url

function size(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`
  return `${Math.ceil(bytes / 1e3)} kB`
}
