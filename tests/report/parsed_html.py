"""The page read back as a browser would: tags, attributes, text."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "input", "link"}
ACTIVE = {"script", "iframe", "object", "embed", "link", "base", "form", "audio", "video"}


class ParsedPage(HTMLParser):
    """Collects every tag, every attribute and the text under each tag."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.texts, self.badly_nested = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.badly_nested.append(tag)

    def handle_data(self, data):
        if "style" not in self.open and data.strip():
            self.texts.append(" ".join(data.split()))

    @property
    def text(self):
        return " ".join(self.texts)

    def named(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def faults(html):
    """Everything in a page that acts, reaches outside or was not escaped; empty for a good page."""
    page = ParsedPage(html)
    found = [f"<{tag}>" for tag, _ in page.tags if tag in ACTIVE]
    found += [f"</{tag}> out of place" for tag in page.badly_nested] + [f"<{tag}> left open" for tag in page.open]
    for tag, attrs in page.tags:
        found += [f"{tag}.{name}" for name in attrs if name.startswith("on")]
        if not attrs.get("href", "#").startswith("#"):
            found.append(f"{tag}.href={attrs['href']}")
        if "src" in attrs and not attrs["src"].startswith("data:image/png;base64,"):
            found.append(f"{tag}.src={attrs['src'][:40]}")
    style = html.split("<style>")[1].split("</style>")[0]
    found += [word for word in ("url(", "@import", "http") if word in style]
    return found
