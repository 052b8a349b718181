// Icons beside text, or on buttons that have a label. They are hidden from screen readers.

const icon = (path: string) => () => (
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
    <path d={path} />
  </svg>
);

export const Plus = icon("M12 5v14M5 12h14");
export const Send = icon("M5 12l15-7-5.5 15-3-6.500zM11.500 13.500L20 5");
export const Back = icon("M15 5l-7 7 7 7");
export const Reply = icon("M10 6l-5 5 5 5M5 11h8a6 6 0 0 1 6 6v1");
export const Smile = icon("M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.500 14.500a4.500 4.500 0 0 0 7 0M9 9.500v.1M15 9.500v.1");
export const Pen = icon("M4 20l1-4L16 5l3 3L8 19zM14 7l3 3");
export const Bin = icon("M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13");
export const Cross = icon("M6 6l12 12M18 6L6 18");
export const Glass = icon("M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500L20 20");
export const Down = icon("M12 5v14M6 13l6 6 6-6");
export const Door = icon("M14 4H6v16h8M10 12h10M17 8.500l3.500 3.500-3.500 3.500");
export const People = icon("M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM3 20a6 6 0 0 1 12 0M16 4.500a3.500 3.500 0 0 1 0 6M17.500 14.500A6 6 0 0 1 21 20");

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="9" />
      <path d="M9 10l7 13 7-13" />
    </svg>
  );
}

/** The state of the user's own message: on the server, delivered to the others, or read. */
export function Ticks({ state }: { state: "sent" | "delivered" | "read" }) {
  return (
    <svg class={`ticks ${state}`} viewBox="0 0 22 14" role="img" aria-label={{ sent: "Sent", delivered: "Delivered", read: "Read" }[state]}>
      <path d={state === "sent" ? "M6 7.500l4 4 8-9" : "M2 7.500l4 4 8-9M10.500 11.500l.5.5 8.500-9.500"} />
    </svg>
  );
}
