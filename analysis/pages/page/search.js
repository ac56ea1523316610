"use strict";
// Find a site: shows the lines that hold all words, in any order, and says of a name that it was
// not tested. Of names within two letters it asks whether they are meant.
(function () {
  var box = document.querySelector(".search");
  var input = document.getElementById("find");
  var untested = document.getElementById("untested");
  var near = document.getElementById("near");
  var count = document.getElementById("count");
  var nothing = document.getElementById("nothing");
  var lines = Array.prototype.slice.call(document.querySelectorAll(".names li"));
  var sections = Array.prototype.slice.call(document.querySelectorAll(".names"));
  var names = lines.map(function (line) { return line.dataset.name; });
  var texts = lines.map(function (line, place) {
    var group = line.closest(".names").querySelector("h2").textContent;
    return (names[place] + " " + line.textContent + " " + group).toLowerCase();
  });

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
    var shown = lines.filter(function (line, place) {
      line.hidden = !isShown(names[place], place);
      return !line.hidden;
    });
    return shown.length;
  }

  // Letters to add, remove or change; more than two is all the same.
  function distance(one, other) {
    if (Math.abs(one.length - other.length) > 2) { return 3; }
    var before = [], i, j;
    for (j = 0; j <= other.length; j += 1) { before.push(j); }
    for (i = 1; i <= one.length; i += 1) {
      var row = [i];
      for (j = 1; j <= other.length; j += 1) {
        var change = one[i - 1] === other[j - 1] ? 0 : 1;
        row.push(Math.min(row[j - 1] + 1, before[j] + 1, before[j - 1] + change));
      }
      before = row;
    }
    return before[other.length];
  }

  function isLike(name, typed) {
    return [name].concat(name.split(/[.-]/)).some(function (part) {
      return part.length > 3 && distance(part, typed) <= 2;
    });
  }

  function find() {
    var words = input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    var host = words.length === 1 ? hostOf(input.value) : "";
    if (host) { words = [host]; }
    var shown = show(function (name, place) {
      return words.every(function (word) { return texts[place].indexOf(word) >= 0; });
    });
    var around = 0;
    if (shown === 0) {
      var others = above(host);
      around = show(function (name) { return others.indexOf(name) >= 0; }) ||
        show(function (name) { return host.length > 3 && isLike(name, host); });
    }
    sections.forEach(function (section) {
      section.hidden = words.length > 0 && !section.querySelector("li:not([hidden])");
    });
    untested.hidden = host === "" || names.indexOf(host) >= 0 ||
      (shown > 0 && host.indexOf(".") < 0);
    untested.querySelector(".typed").textContent = host;
    near.hidden = around === 0;
    nothing.hidden = shown + around > 0;
    count.hidden = words.length === 0 || shown === 0;
    count.querySelector(".counted").textContent = String(shown);
  }

  // Enter opens the only hit.
  function open(event) {
    var hits = lines.filter(function (line) { return !line.hidden; });
    var link = hits.length === 1 && hits[0].querySelector("a");
    if (event.key === "Enter" && link) { link.click(); }
  }

  box.hidden = false;
  input.addEventListener("input", find);
  input.addEventListener("keydown", open);
  find();
})();
