// Unpacks the looks and the app and starts it. The policy in the head knows all by their hashes; nothing is evaluated.
(async () => {
  try {
    const packed = Uint8Array.from(atob(document.getElementById("code").textContent.trim()), c => c.charCodeAt(0));
    const style = document.createElement("style"), app = document.createElement("script");
    [style.textContent, app.text] = (await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).text()).split("\0");
    document.head.append(style, app);
  } catch {
    document.documentElement.className = "old";
  }
})();
