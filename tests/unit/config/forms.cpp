// Each form against what the loader takes and against the pattern that the schema has for it: both must agree.
#include "config/forms.hpp"
#include "unit/config/written.hpp"

#include <regex>

using namespace scoregate::config;

namespace {

enum class verdict {
    taken,
    refused,
    beyond_the_pattern // refused, but no regular expression says so in reasonable space
};

struct row {
    const char* form;
    std::string text;
    verdict expected;
};

bool taken(const std::string& name, const std::string& text, std::string& wrong) {
    if (name == "address") return address_form.parse(text, wrong).has_value();
    if (name == "host") return host_form.parse(text, wrong).has_value();
    if (name == "dns_server") return dns_server_form.parse(text, wrong).has_value();
    if (name == "network") return network_form.parse(text, wrong).has_value();
    if (name == "replica") return replica_form.parse(text, wrong).has_value();
    if (name == "collector") return collector_form.parse(text, wrong).has_value();
    if (name == "directory") return directory_form.parse(text, wrong).has_value();
    if (name == "contact") return contact_form.parse(text, wrong).has_value();
    if (name == "label") return label_form.parse(text, wrong).has_value();
    REQUIRE(name == "name");
    return name_form.parse(text, wrong).has_value();
}

std::string pattern_of(const std::string& form) {
    std::ifstream in{SCOREGATE_SOURCE_DIR "/config/scoregate.schema.json"};
    return nlohmann::json::parse(in).at("$defs").at(form).at("pattern");
}

const std::string long_label(63, 'a');
const std::string too_long_label(64, 'a');
// 253 characters is the longest name (RFC 1035, section 2.3.4).
const std::string longest = long_label + "." + long_label + "." + long_label + "." + std::string(61, 'b');

} // namespace

TEST_CASE("loader and schema take the same texts") {
    using enum verdict;
    const auto one = GENERATE(values<row>({
        {"directory", "https://acme-v02.api.letsencrypt.org/directory", taken},
        {"directory", "https://127.0.0.1:14000/dir", taken},
        {"directory", "http://127.0.0.1:14000/dir", refused},
        {"directory", "acme-v02.api.letsencrypt.org", refused},
        {"directory", "https://", refused},
        {"directory", "https://user@provider/dir", refused},
        {"contact", "ops@contoso.com", taken},
        {"contact", "first.last+acme@contoso.com", taken},
        {"contact", "mailto:ops@contoso.com", refused},
        {"contact", "-x@contoso.com", refused},
        {"contact", "ops", refused},
        {"contact", "@contoso.com", refused},
        {"contact", "ops@", refused},
        {"contact", "a@b@c", refused},
        {"contact", "Ops <ops@contoso.com>", refused},
        {"label", "contoso", taken},
        {"label", "7-seas", taken},
        {"label", std::string(57, 'a'), taken},
        {"label", std::string(58, 'a'), refused},
        {"label", "", refused},
        {"label", "Contoso", refused},
        {"label", "-contoso", refused},
        {"label", "a.b", refused},
        {"collector", "http://127.0.0.1:4318/v1/traces", taken},
        {"collector", "http://collector", taken},
        {"collector", "https://otel.contoso.com/a/b?c=1", taken},
        {"collector", "http://[::1]:4318/", taken},
        {"collector", "", refused},
        {"collector", "collector:4318", refused},
        {"collector", "ftp://collector/v1/traces", refused},
        {"collector", "dns://collector:4318", refused},
        {"collector", "http:///v1/traces", refused},
        {"collector", "http://user@collector/v1/traces", refused},
        {"collector", "http://collector:0/v1/traces", refused},
        {"collector", "http://collector:70000", refused},
        {"collector", "http://collector/v1 traces", refused},
        {"collector", "http://collector/v1#traces", refused},
        {"network", "10.0.0.0/8", taken},
        {"network", "192.0.2.7", taken},
        {"network", "0.0.0.0/0", taken},
        {"network", "192.0.2.7/32", taken},
        {"network", "2001:db8::/32", taken},
        {"network", "2001:db8::7", taken},
        {"network", "::/0", taken},
        {"network", "::1/128", taken},
        {"network", "::ffff:10.0.0.0/104", taken},
        {"network", "::ffff:10.0.0.1", taken},
        {"network", "", refused},
        {"network", "10.0.0.0/33", refused},
        {"network", "10.0.0.0/08", refused},
        {"network", "10.0.0.0/", refused},
        {"network", "10.0.0.0/-1", refused},
        {"network", "10.0.0.0/8 ", refused},
        {"network", "10.0.0.0/255.0.0.0", refused},
        {"network", "10.0.0/8", refused},
        {"network", "10.0.0.00/8", refused},
        {"network", "/8", refused},
        {"network", "2001:db8::/129", refused},
        {"network", "[2001:db8::]/32", refused},
        {"network", "fe80::1%eth0", refused},
        {"network", "contoso.com", refused},
        {"network", "*", refused},
        {"network", "10.0.0.1/8", beyond_the_pattern},
        {"network", "2001:db8::1/64", beyond_the_pattern},
        {"network", "::ffff:10.0.0.0/95", beyond_the_pattern},
        {"network", "1::2::3", beyond_the_pattern},
        {"address", "127.0.0.1:8443", taken},
        {"address", "0.0.0.0:0", taken},
        {"address", "[::]:65535", taken},
        {"address", "[fe80::1]:80", taken},
        {"address", "[::ffff:10.0.0.1]:80", taken},
        {"address", "", refused},
        {"address", ":8443", refused},
        {"address", "*:8443", refused},
        {"address", "8443", refused},
        {"address", "localhost:8443", refused},
        {"address", "127.0.0.1", refused},
        {"address", "127.0.0.1:", refused},
        {"address", "127.0.0.1:65536", refused},
        {"address", "127.0.0.1:-1", refused},
        {"address", "127.0.0.1:+1", refused},
        {"address", "127.0.0.1:08", refused},
        {"address", "127.0.0.1:80 ", refused},
        {"address", "127.0.0.256:80", refused},
        {"address", "127.1:80", refused},
        {"address", "[127.0.0.1]:80", refused},
        {"address", "::1:80", refused},
        {"address", "[::1:80", refused},
        {"address", "[::1]80", refused},
        {"address", "[fe80::1%eth0]:80", refused},
        {"address", "[1::2::3]:80", beyond_the_pattern},
        {"host", "iris.contoso.com", taken},
        {"host", "IRIS", taken},
        {"host", "1.iris", taken},
        {"host", "xn--bcher-kva.example", taken},
        {"host", "10.0.0.1", taken},
        {"host", "::1", taken},
        {"host", "[::1]", taken},
        {"host", long_label + ".com", taken},
        {"host", longest, taken},
        {"host", longest + "b", refused},
        {"host", too_long_label + ".com", refused},
        {"host", "", refused},
        {"host", ".", refused},
        {"host", "iris.", refused},
        {"host", "iris..com", refused},
        {"host", "-iris.com", refused},
        {"host", "iris-.com", refused},
        {"host", "my_iris.com", refused},
        {"host", "*.contoso.com", refused},
        {"host", "iris.com:443", refused},
        {"host", "10.0.0.1:443", refused},
        {"host", "[::1]:443", refused},
        {"host", "https://iris.com", refused},
        {"host", "iris.com/", refused},
        {"host", "ir is", refused},
        {"host", "10.0.0.256", refused},
        {"host", "10.0.1", refused},
        {"host", "12345", refused},
        {"host",
         "b\xc3\xbc"
         "cher.example",
         refused},
        {"host", "[::1", refused},
        {"host", "1::2::3", beyond_the_pattern},
        {"replica", "http://127.0.0.1:5001", taken},
        {"replica", "http://model", taken},
        {"replica", "http://my_model_1:65535", taken},
        {"replica", "http://iris-blue.models.svc.cluster.local:1", taken},
        {"replica", "http://[::1]:5001", taken},
        {"replica", "http://[::1]", taken},
        {"replica", "http://" + longest + ":80", taken},
        {"replica", "http://" + longest + "b:80", refused},
        {"replica", "", refused},
        {"replica", "http://", refused},
        {"replica", "http://:80", refused},
        {"replica", "127.0.0.1:5001", refused},
        {"replica", "HTTP://model", refused},
        {"replica", "http://model:0", refused},
        {"replica", "http://model:65536", refused},
        {"replica", "http://model:", refused},
        {"replica", "http://model:http", refused},
        {"replica", "http://::1", refused},
        {"replica", "http://[::1]x", refused},
        {"replica", "http://[model]", refused},
        {"replica", "http://model/", refused},
        {"replica", "http://model/score", refused},
        {"replica", "http://model?x", refused},
        {"replica", "http://model#x", refused},
        {"replica", "http://user@model", refused},
        {"replica", "http://user:secret@model", refused},
        {"replica", "http://10.0.0.256", refused},
        {"replica", "http://mo del", refused},
        {"replica", "https://model", taken},
        {"replica", "https://[::1]:8443", taken},
        {"replica", "https://model/path", refused},
        {"replica", "ftp://model", refused},
        {"replica", "http+unix:///run/model.sock", taken},
        {"replica", "http+unix:///" + std::string(106, 's'), taken},
        {"replica", "http+unix:///" + std::string(107, 's'), refused},
        {"replica", "http+unix://model.sock", refused},
        {"replica", "http+unix://", refused},
        {"replica", "http+unix:///", refused},
        {"replica", "http+unix:///run/", refused},
        {"replica", "http+unix:///run/a b\u00e9.sock", taken},
        {"replica", "http+unix:///run/a\nb", refused},
        {"replica", "http+unix:///run/a\x1f", refused},
        {"replica", "http+unix:///run/a\x7f.sock", refused},
        {"replica", std::string("http+unix:///run/a\0b", 20), refused},
        {"replica", "dns://model:80", taken},
        {"replica", "dns://iris-blue.models.svc:5001", taken},
        {"replica", "dns://model", refused},
        {"replica", "dns://model:0", refused},
        {"replica", "dns://model:80/score", refused},
        {"replica", "dns://10.0.0.1:80", refused},
        {"replica", "dns://[::1]:80", refused},
        {"replica", "dns://:80", refused},
        {"replica", "srv+http://_score._tcp.iris.models.svc", taken},
        {"replica", "srv+http://model", taken},
        {"replica", "srv+http://model:80", refused},
        {"replica", "srv+http://model/score", refused},
        {"replica", "srv+http://10.0.0.1", refused},
        {"replica", "srv+http://", refused},
        {"dns_server", "10.0.0.10", taken},
        {"dns_server", "10.0.0.10:5353", taken},
        {"dns_server", "fd00::a", taken},
        {"dns_server", "[fd00::a]", taken},
        {"dns_server", "[fd00::a]:53", taken},
        {"dns_server", "", refused},
        {"dns_server", "dns.contoso.com", refused},
        {"dns_server", "10.0.0.10:", refused},
        {"dns_server", "10.0.0.10:0", refused},
        {"dns_server", "10.0.0.256", refused},
        {"dns_server", "[10.0.0.10]:53", refused},
        {"name", "iris", taken},
        {"name", "I-2-", taken},
        {"name", long_label, taken},
        {"name", too_long_label, refused},
        {"name", "", refused},
        {"name", "2iris", refused},
        {"name", "-iris", refused},
        {"name", "my_iris", refused},
        {"name", "my.iris", refused},
        {"name", "iris/score", refused},
        {"name", "*", refused},
    }));
    CAPTURE(one.form, one.text);
    std::string wrong;
    CHECK(::taken(one.form, one.text, wrong) == (one.expected == taken));
    CHECK(wrong.empty() == (one.expected == taken));
    CHECK(std::regex_match(one.text, std::regex{pattern_of(one.form)}) == (one.expected != refused));
}

TEST_CASE("a network with bits beyond its length: the message has the one that may have been meant") {
    struct row {
        const char* written;
        const char* meant;
    };
    const auto one = GENERATE(values<row>({
        {"10.1.2.3/8", "10.0.0.0/8"},
        {"192.0.2.129/25", "192.0.2.128/25"},
        {"2001:db8::1/64", "2001:db8::/64"},
        {"::ffff:10.1.2.3/104", "10.0.0.0/8"},
    }));
    std::string wrong;
    CHECK_FALSE(network_form.parse(one.written, wrong));
    CHECK_THAT(wrong, Catch::Contains(one.meant));
}

TEST_CASE("an address is written in one way") {
    std::string wrong;
    CHECK(to_text(address_form.parse("[0:0::0001]:80", wrong).value()) == "[::1]:80");
    CHECK(to_text(address_form.parse("127.0.0.1:80", wrong).value()) == "127.0.0.1:80");
}

TEST_CASE("a text with a NUL in it is refused") {
    using namespace std::string_literals;
    std::string wrong;
    CHECK_FALSE(path_form.parse("a\0b"s, wrong));
    CHECK_FALSE(log_path_form.parse("a\0b"s, wrong));
    CHECK_FALSE(host_form.parse("10.0.0.1\0"s, wrong));
}
