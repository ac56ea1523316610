"use strict";
// Find a site: shows the lines that hold what is typed, and says of a name that it was not tested.
(function () {
  var box = document.querySelector(".search");
  var input = document.getElementById("find");
  var untested = document.getElementById("untested");
  var near = document.getElementById("near");
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

  // The names above one that nobody tested, such as the one without www., with www. and without.
  function above(host) {
    var found = [];
    for (var rest = host; rest.indexOf(".") >= 0; rest = rest.slice(rest.indexOf(".") + 1)) {
      found.push(rest, "www." + rest);
    }
    return found;
  }

  function show(isShown) {
    var shown = 0;
    lines.forEach(function (line, place) {
      line.hidden = !isShown(names[place]);
      shown += line.hidden ? 0 : 1;
    });
    return shown;
  }

  function find() {
    var host = hostOf(input.value);
    var shown = show(function (name) { return name.indexOf(host) >= 0; });
    var around = 0;
    if (shown === 0) {
      var others = above(host);
      around = show(function (name) { return others.indexOf(name) >= 0; });
    }
    sections.forEach(function (section) {
      section.hidden = host !== "" && !section.querySelector("li:not([hidden])");
    });
    untested.hidden = host === "" || names.indexOf(host) >= 0 ||
      (shown > 0 && host.indexOf(".") < 0);
    untested.querySelector(".typed").textContent = host;
    near.hidden = around === 0;
    count.hidden = host === "" || shown === 0;
    count.querySelector(".counted").textContent = String(shown);
  }

  box.hidden = false;
  input.addEventListener("input", find);
  find();
})();
