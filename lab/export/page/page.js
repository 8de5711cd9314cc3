// Classifies pictures in the browser. `ort` is ONNX Runtime Web, which stands above.

const SHOWN = 5
const MOST_PIXELS = 40e6
const facts = JSON.parse(document.getElementById("page-facts").textContent)
const $ = (id) => document.getElementById(id)

function element(kind, text, className = "") {
  const made = document.createElement(kind)
  made.textContent = text
  made.className = className
  return made
}

// Gzip in base64, as it stands in this page, so that nothing has to be loaded.
async function unpacked(id) {
  const packed = Uint8Array.from(atob($(id).textContent.trim()), (c) => c.charCodeAt(0))
  $(id).remove()
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))
  return new Response(stream).arrayBuffer()
}

async function start() {
  ort.env.wasm.numThreads = 1 // threads need a server's headers
  ort.env.wasm.wasmBinary = await unpacked("runtime")
  return ort.InferenceSession.create(new Uint8Array(await unpacked("model")))
}

// RGB bytes of the picture, upright, transparency on white, as the lab decodes it.
async function pixelsOf(file) {
  const image = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" })
  const { width, height } = image
  if (width * height > MOST_PIXELS) throw new Error(`has ${width} x ${height} pixels; at most 40 megapixels are read`)
  const canvas = new OffscreenCanvas(width, height)
  const context = canvas.getContext("2d", { willReadFrequently: true })
  context.fillStyle = "white"
  context.fillRect(0, 0, width, height)
  context.drawImage(image, 0, 0)
  const rgba = context.getImageData(0, 0, width, height).data
  const size = width * height
  const rgb = new Uint8Array(3 * size)
  for (let place = 0; place < size; place++) {
    for (let channel = 0; channel < 3; channel++) rgb[channel * size + place] = rgba[4 * place + channel]
  }
  return new ort.Tensor("uint8", rgb, [1, 3, height, width])
}

function answerBox(file, probabilities) {
  const box = element("article", "", "answer")
  const image = element("img", "")
  image.alt = ""
  image.src = URL.createObjectURL(file)
  const said = element("div", "")
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a])
  said.append(element("h2", facts.classes[order[0]]), element("p", file.name, "name"))
  for (const label of order.slice(0, SHOWN)) {
    const row = element("div", "", "row")
    row.style.setProperty("--share", `${100 * probabilities[label]}%`)
    row.append(element("span", facts.classes[label]), element("span", percent(probabilities[label])))
    said.append(row)
  }
  box.dataset.probabilities = JSON.stringify([...probabilities])
  box.append(image, said)
  return box
}

function percent(share) {
  return share > 0.9995 ? ">99.9%" : share < 0.0005 ? "<0.1%" : `${(100 * share).toFixed(1)}%`
}

async function classify(files) {
  for (const file of files) {
    $("state").textContent = `Looking at ${file.name}`
    let box
    try {
      const network = await session
      const { probabilities } = await network.run({ pixels: await pixelsOf(file) })
      box = answerBox(file, probabilities.data)
    } catch (error) {
      box = element("article", "", "answer wrong")
      const why = error.name === "InvalidStateError" ? "is no picture that this browser reads" : error.message
      box.append(element("p", `${file.name} ${why}.`))
    }
    $("answers").prepend(box)
  }
  $("state").textContent = ""
}

let queue = Promise.resolve()
const add = (files) => (queue = queue.then(() => classify([...files])))

$("about").textContent = facts.about
for (const [name, value] of facts.rows) $("facts").append(element("dt", name), element("dd", value))
const session = start()
session.then(
  () => ($("state").textContent = "Ready"),
  (error) => ($("state").textContent = `The network does not start in this browser: ${error.message}`),
)
$("files").addEventListener("change", () => add($("files").files))
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault()
    $("drop").classList.toggle("over", kind === "dragover")
    if (kind === "drop") add(event.dataTransfer.files)
  })
}
addEventListener("paste", (event) => add(event.clipboardData.files))
