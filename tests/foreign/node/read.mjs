// What mailparser finds in the mails named as arguments: one JSON object each.
import { readFileSync } from "node:fs";
import { simpleParser } from "mailparser";

const named = (list) => (list?.value ?? []).map(({ name, address }) => [name, address]);
for (const path of process.argv.slice(2)) {
  const mail = await simpleParser(readFileSync(path));
  console.log(JSON.stringify({
    subject: mail.subject ?? "",
    from: named(mail.from),
    to: named(mail.to),
    message_id: mail.messageId ?? "",
    in_reply_to: mail.inReplyTo ?? "",
    references: [mail.references ?? []].flat(),
    text: (mail.text ?? "").trim(),
  }));
}
