"use strict";
// The annex: shows the rows that hold what is typed, and puts the sites in another order;
// on a phone each row opens.
(function () {
  var tables = Array.prototype.slice.call(document.querySelectorAll("table.annex"));
  // On a phone a row is a line that opens.
  tables.forEach(function (table) {
    table.classList.add("folds");
    table.addEventListener("click", function (event) {
      var row = event.target.closest("tr.pair");
      if (!row || event.target.closest("a")) { return; }
      var isOpen = row.classList.toggle("open");
      row.querySelector(".opens").setAttribute("aria-expanded", String(isOpen));
    });
    table.querySelectorAll(".opens").forEach(function (button) { button.hidden = false; });
  });

  var controls = document.querySelector(".annex-controls");
  if (!controls) { return; } // a site's page has the table alone
  var filter = controls.querySelector(".annex-filter");
  var order = controls.querySelector(".annex-order");
  var count = controls.querySelector(".annex-count");
  var groups = tables.map(function (table) {
    return Array.prototype.slice.call(table.tBodies);
  });

  function textOf(row) { return row.textContent.toLowerCase(); }

  // A site that holds all words, in any order, is shown with all its rows, else the rows that hold
  // those that the site does not.
  function narrow() {
    var words = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    var shown = 0;
    groups.forEach(function (bodies) {
      bodies.forEach(function (body) {
        var rows = Array.prototype.slice.call(body.rows);
        var site = textOf(rows[0]);
        var others = words.filter(function (word) { return site.indexOf(word) < 0; });
        var hits = 0;
        rows.slice(1).forEach(function (row) {
          var text = textOf(row);
          row.hidden = others.some(function (word) { return text.indexOf(word) < 0; });
          hits += row.hidden ? 0 : 1;
        });
        body.hidden = hits === 0;
        shown += body.hidden ? 0 : 1;
      });
    });
    count.textContent = words.length === 0 ? "" :
      shown === 0 ? count.dataset.none : String(shown);
  }

  function compare(one, other) {
    var key = order.value;
    var a = one.dataset[key], b = other.dataset[key];
    if (key === "count" && a !== b) { return Number(b) - Number(a); }
    if (a !== b) { return a < b ? -1 : 1; }
    return one.dataset.name < other.dataset.name ? -1 : 1;
  }

  function sort() {
    groups.forEach(function (bodies, place) {
      bodies.slice().sort(compare).forEach(function (body) { tables[place].appendChild(body); });
    });
  }

  controls.hidden = false;
  filter.addEventListener("input", narrow);
  order.addEventListener("change", sort);
})();
