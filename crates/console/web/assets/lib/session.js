// For whom this tab speaks: account, region, and the key when the door asks for one. Kept for the tab, gone with it.

const STORE = "longshore-session";

const kept = (() => {
  try {
    return JSON.parse(sessionStorage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
})();

/** `account` and `region` are what the door answered with unless a person chose others; `strict` when it wants a key. */
export const session = { account: "", region: "", accessKey: "", secret: "", token: "", strict: false, ...kept };

export function remember(changes) {
  Object.assign(session, changes);
  sessionStorage.setItem(STORE, JSON.stringify(session));
}

export function forget() {
  remember({ accessKey: "", secret: "", token: "", account: "", region: "" });
}

/** Who signs: a key that was entered, or the account itself, as the open door lets it. */
export function signer() {
  const region = session.region || "us-east-1";
  return session.accessKey
    ? { accessKey: session.accessKey, secret: session.secret, token: session.token, region }
    : { accessKey: session.account || "000000000000", secret: "longshore", region };
}
