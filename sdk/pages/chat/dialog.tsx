import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Cross } from "./icons.js";

/** A modal dialog. The browser keeps the focus inside, and Escape closes it. */
export function Dialog({ title, close, children }: { title: string; close(): void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    // The dialog is closed before it is removed, so that the browser restores the focus.
    return () => shown.close();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby="dialog-title" onClose={close} onClick={(event) => event.target === dialog.current && close()}>
      <header>
        <h2 id="dialog-title">{title}</h2>
        <button class="round" onClick={close} aria-label="Close"><Cross /></button>
      </header>
      {children}
    </dialog>
  );
}
