#include "control/page.hpp"

#include "auth/sha256.hpp"

#include <openssl/evp.h>

#include <array>

namespace scoregate::control {

namespace {

// As a source of a Content-Security-Policy (CSP3 2.3.1).
std::string digest_of(std::string_view text) {
    const auto digest = auth::sha256(text);
    std::array<unsigned char, 45> base64{}; // of 32 bytes, and a zero
    const int size = EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(digest.size()));
    return "'sha256-" + std::string(base64.begin(), base64.begin() + size) + "'";
}

// `what` goes where `mark` is in the page, which has it once.
void place(std::string& html, std::string_view mark, std::string_view what) {
    if (const auto at = html.find(mark); at != std::string::npos) html.replace(at, mark.size(), what);
}

page make() {
    page made{std::string(page_html), {}};
    place(made.html, "/*style*/", page_css);
    place(made.html, "/*script*/", page_js);
    made.policy = "default-src 'none'; script-src " + digest_of(page_js) + "; style-src " + digest_of(page_css) +
                  "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                  "require-trusted-types-for 'script'; trusted-types 'none'";
    return made;
}

} // namespace

const page& the_page() {
    static const page made = make();
    return made;
}

} // namespace scoregate::control
