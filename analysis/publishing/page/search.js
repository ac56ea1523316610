"use strict";
// Find a site: shows the lines that hold what is typed, and says of a name that it was not tested.
(function () {
  var box = document.querySelector(".search");
  var input = document.getElementById("find");
  var untested = document.getElementById("untested");
  var count = document.getElementById("count");
  var lines = Array.prototype.slice.call(document.querySelectorAll(".names li"));
  var sections = Array.prototype.slice.call(document.querySelectorAll(".names"));
  var names = lines.map(function (line) { return line.dataset.name; });

  // An address as somebody copies it: without scheme, user, port and path.
  function hostOf(text) {
    var host = text.trim().toLowerCase().replace(/^[a-z][a-z0-9+.-]*:\/\//, "");
    host = host.replace(/[\/?#].*$/, "").replace(/^[^@]*@/, "").replace(/:\d+$/, "");
    host = host.replace(/\.$/, "");
    if (/[^\x00-\x7f]/.test(host)) {
      try { host = new URL("http://" + host).hostname; } catch (error) { return host; }
    }
    return host;
  }

  function find() {
    var host = hostOf(input.value);
    var shown = 0;
    lines.forEach(function (line, place) {
      line.hidden = names[place].indexOf(host) < 0;
      shown += line.hidden ? 0 : 1;
    });
    sections.forEach(function (section) {
      section.hidden = host !== "" && !section.querySelector("li:not([hidden])");
    });
    untested.hidden = host === "" || names.indexOf(host) >= 0 ||
      (shown > 0 && host.indexOf(".") < 0);
    untested.querySelector(".typed").textContent = host;
    count.hidden = host === "" || shown === 0;
    count.querySelector(".counted").textContent = String(shown);
  }

  box.hidden = false;
  input.addEventListener("input", find);
  find();
})();
