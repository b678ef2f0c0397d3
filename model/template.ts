import Handlebars from "handlebars";
import { loadTemplate } from "../templates/load.ts";

const handlebars = Handlebars.create();
const compiled = new Map<string, (values: object) => string>();

/** Configuration files are not HTML, and a name that the template does not get is our bug. */
export function render(template: string, values: object): string {
  let renderer = compiled.get(template);
  if (renderer === undefined) {
    const compiledTemplate = handlebars.compile(loadTemplate(template), { noEscape: true, strict: true });
    renderer = (context) => compiledTemplate(context);
    compiled.set(template, renderer);
  }
  return renderer(values);
}
