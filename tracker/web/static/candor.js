/* What a shop puts on its pages to tell of a conversion. It reads the click id from the address of the page, keeps it
   only where the operator allows a first-party cookie, and sends it back with the goal. Nothing else is read or sent. */
(() => {
  "use strict";
  const parameter = "PARAMETER";
  const seconds = 0;
  const me = document.currentScript;
  const pixel = new URL("conversion.gif", me.src);
  const cookie = `candor_${parameter}`;
  const plausible = (text) => (/^[A-Za-z0-9_-]{54}$/.test(text ?? "") ? text : "");

  const kept = () => {
    if (!seconds) return "";
    const found = document.cookie.split("; ").find((one) => one.startsWith(`${cookie}=`));
    return plausible(found?.slice(cookie.length + 1));
  };
  const arrived = parameter ? plausible(new URLSearchParams(location.search).get(parameter)) : "";
  if (arrived && seconds) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `${cookie}=${arrived}; Max-Age=${seconds}; Path=/; SameSite=Lax${secure}`;
  }

  const clickId = () => arrived || kept();
  const convert = ({ goal, order, value, currency, clickId: given } = {}) => {
    const id = plausible(given) || clickId();
    if (!goal || !id) return false;
    const said = { goal, cid: id, order, value, currency };
    for (const [name, text] of Object.entries(said)) {
      if (text !== undefined && text !== "") pixel.searchParams.set(name, text);
      else pixel.searchParams.delete(name);
    }
    new Image().src = pixel.href;
    return true;
  };

  window.candor = Object.freeze({ clickId, convert });
  if (me.dataset.goal) convert(me.dataset);
})();
