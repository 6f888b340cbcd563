// The pairs of certificate and key: every partial set at the top and in the list, both forms, repeated pairs, and what
// is left over of them without TLS.
#include "unit/config/written.hpp"

#include <algorithm>

using namespace scoregate::config;
using nlohmann::json;

namespace {

using texts = std::vector<std::string>;

// The valid file with another pair at the top.
json with_top(const std::string& pair) {
    auto tree = valid();
    for (const auto* key : {"sslCertPemFile", "sslKeyPemFile", "sslCname"}) tree.erase(key);
    tree.update(json::parse(pair));
    return tree;
}

// The valid file with a list of other pairs.
json with_list(const std::string& certificates) {
    auto tree = valid();
    tree["certificates"] = json::parse(certificates);
    return tree;
}

texts by_pointer(const std::vector<certificate_files>& all) {
    texts out;
    for (const auto& one : all) {
        out.push_back(one.pointer + "|" + one.certificate + "|" + one.key + "|" + one.secret + "|" + one.cname);
    }
    return out;
}

const std::string two_forms = "give either sslCertPemFile, sslKeyPemFile and sslCname or sslSecret and sslCname";

struct partial {
    std::string pair;
    texts problems; // pointer under the object that names the pair, and message up to the two forms
};

const std::string both = "/sslSecret: holds certificate and key, so it cannot be given beside their files: ";

const std::vector<partial> partial_pairs{
    {R"({"sslCertPemFile": "c"})",
     {"/sslKeyPemFile: is missing: sslCertPemFile needs it, so ",
      "/sslCname: is missing: sslCertPemFile needs it, so "}},
    {R"({"sslKeyPemFile": "k"})",
     {"/sslCertPemFile: is missing: sslKeyPemFile needs it, so ",
      "/sslCname: is missing: sslKeyPemFile needs it, so "}},
    {R"({"sslCname": "n"})",
     {"/sslCertPemFile: is missing: sslCname needs it, so ", "/sslKeyPemFile: is missing: sslCname needs it, so "}},
    {R"({"sslSecret": "s"})", {"/sslCname: is missing: sslSecret needs it, so "}},
    {R"({"sslCertPemFile": "c", "sslKeyPemFile": "k"})",
     {"/sslCname: is missing: sslCertPemFile and sslKeyPemFile need it, so "}},
    {R"({"sslCertPemFile": "c", "sslCname": "n"})",
     {"/sslKeyPemFile: is missing: sslCertPemFile and sslCname need it, so "}},
    {R"({"sslKeyPemFile": "k", "sslCname": "n"})",
     {"/sslCertPemFile: is missing: sslKeyPemFile and sslCname need it, so "}},
    {R"({"sslCertPemFile": "c", "sslSecret": "s", "sslCname": "n"})", {both}},
    {R"({"sslKeyPemFile": "k", "sslSecret": "s", "sslCname": "n"})", {both}},
    {R"({"sslCertPemFile": "c", "sslKeyPemFile": "k", "sslSecret": "s", "sslCname": "n"})", {both}},
    {R"({"sslCertPemFile": "c", "sslSecret": "s"})",
     {"/sslCname: is missing: sslCertPemFile and sslSecret need it, so ", both}},
    {R"({"sslKeyPemFile": "k", "sslSecret": "s"})",
     {"/sslCname: is missing: sslKeyPemFile and sslSecret need it, so ", both}},
    {R"({"sslCertPemFile": "c", "sslKeyPemFile": "k", "sslSecret": "s"})",
     {"/sslCname: is missing: sslCertPemFile, sslKeyPemFile and sslSecret need it, so ", both}},
};

// Whole lines, sorted: what is missing has no place of its own in the order of the file.
texts expected_lines(const partial& one, const std::string& where) {
    texts out;
    for (const auto& problem : one.problems) out.push_back(where + problem + two_forms);
    std::sort(out.begin(), out.end());
    return out;
}

texts sorted(texts all) {
    std::sort(all.begin(), all.end());
    return all;
}

} // namespace

TEST_CASE("a partial pair is refused with each missing key and both ways to be whole") {
    const auto one = GENERATE(from_range(partial_pairs));
    CAPTURE(one.pair);
    SECTION("at the top") {
        const written file{with_top(one.pair).dump()};
        const auto result = file.load();
        CHECK_FALSE(result.value);
        CHECK(result.certificates.empty());
        CHECK(sorted(lines(result.problems)) == expected_lines(one, file.file() + ": "));
    }
    SECTION("in the list") {
        const written file{with_list(R"([{"sslSecret": "/s", "sslCname": "n"}, )" + one.pair + "]").dump()};
        const auto result = file.load();
        CHECK_FALSE(result.value);
        CHECK(result.certificates.size() == 2);
        CHECK(sorted(lines(result.problems)) == expected_lines(one, file.file() + ": /certificates/1"));
    }
}

TEST_CASE("pairs come in the order of the file, the default first, each with the pointer of its object") {
    const written file{with_list(R"([
        { "sslCname": "A.contoso.com", "sslSecret": "/a/" },
        { "sslCertPemFile": "/b.pem", "sslKeyPemFile": "/b.key", "sslCname": "b.contoso.com" },
        { "sslCertPemFile": "/rsa.pem", "sslKeyPemFile": "/rsa.key", "sslCname": "b.contoso.com" } ])")
                           .dump()};
    const auto result = file.load();
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    const texts expected{"|" + (file.folder() / "tls/cert.pem").string() + "|/keys/key.pem||www.contoso.com",
                         "/certificates/0|||/a|a.contoso.com", "/certificates/1|/b.pem|/b.key||b.contoso.com",
                         "/certificates/2|/rsa.pem|/rsa.key||b.contoso.com"};
    CHECK(by_pointer(result.value->certificates) == expected);
    CHECK(by_pointer(result.certificates) == expected);
}

TEST_CASE("a directory of a secret starts at the file's folder") {
    struct row {
        std::string secret, folder; // the latter under the file's
    };
    const auto one = GENERATE(values<row>({{"tls", "/tls"}, {"./tls/", "/tls"}, {"a/../tls/.", "/tls"}, {".", ""}}));
    CAPTURE(one.secret);
    const written file{with_top(R"({"sslCname": "www.contoso.com", "sslSecret": ")" + one.secret + "\"}").dump()};
    const auto result = file.load();
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    CHECK(by_pointer(result.value->certificates) ==
          texts{"|||" + file.folder().string() + one.folder + "|www.contoso.com"});
}

TEST_CASE("the root folder stays one") {
    const auto result = written{with_top(R"({"sslCname": "www.contoso.com", "sslSecret": "/"})").dump()}.load();
    CHECK(result.value.value().certificates.at(0).secret == "/");
}

TEST_CASE("what is wrong with a pair is refused at its pointer, and the others are still known") {
    struct row {
        std::string certificates, pointer, fragment;
    };
    const std::string whole = R"({"sslSecret": "/s", "sslCname": "s.contoso.com"})";
    const auto one = GENERATE_COPY(values<row>({
        {"[" + whole + ", {}]", "/certificates/1", "names no certificate: " + two_forms},
        {"[" + whole + ", 5]", "/certificates/1", "must be an object, not 5"},
        {"[" + whole + ", null]", "/certificates/1", "must be an object, not null"},
        {"[" + whole + ", [" + whole + "]]", "/certificates/1", "must be an object, not a list"},
        {"[" + whole + R"(, {"sslSecret": "", "sslCname": "n"}])", "/certificates/1/sslSecret", "is not a path"},
        {"[" + whole + R"(, {"sslSecret": 5, "sslCname": "n"}])", "/certificates/1/sslSecret",
         "must be a string, not 5"},
        {"[" + whole + R"(, {"sslSecret": null, "sslCname": "n"}])", "/certificates/1/sslSecret", "must be a string"},
        {"[" + whole + R"(, {"sslSecret": "x", "sslCname": "*.n"}])", "/certificates/1/sslCname", "wildcard"},
        {"[" + whole + R"(, {"sslCertPemFile": "", "sslKeyPemFile": "k", "sslCname": "n"}])",
         "/certificates/1/sslCertPemFile", "is not a path"},
        {"[" + whole + R"(, {"sslCertPemFile": "c", "sslKeyPemFile": "", "sslCname": "n"}])",
         "/certificates/1/sslKeyPemFile", "is not a path"},
    }));
    CAPTURE(one.certificates);
    const auto result = written{with_list(one.certificates).dump()}.load();
    CHECK_FALSE(result.value);
    REQUIRE(pointers(result.problems) == one.pointer + "\n");
    CHECK_THAT(result.problems[0].message, Catch::Contains(one.fragment));
    REQUIRE(result.certificates.size() == 2);
    CHECK(result.certificates[0].pointer.empty());
    CHECK(result.certificates[1].pointer == "/certificates/0");
}

TEST_CASE("the same at the top, where it leaves no default") {
    struct row {
        const char* pair;
        const char* pointer;
        const char* fragment;
    };
    const auto one = GENERATE(values<row>({
        {R"({"sslCertPemFile": "", "sslKeyPemFile": "k", "sslCname": "n"})", "/sslCertPemFile", "is not a path"},
        {R"({"sslCertPemFile": "c", "sslKeyPemFile": "", "sslCname": "n"})", "/sslKeyPemFile", "is not a path"},
        {R"({"sslCertPemFile": "c", "sslKeyPemFile": null, "sslCname": "n"})", "/sslKeyPemFile", "must be a string"},
        {R"({"sslCertPemFile": "c", "sslKeyPemFile": "k", "sslCname": "*.n"})", "/sslCname", "neither a DNS name"},
        {R"({"sslSecret": "", "sslCname": "n"})", "/sslSecret", "is not a path"},
        {R"({"sslSecret": [], "sslCname": "n"})", "/sslSecret", "must be a string, not a list"},
    }));
    CAPTURE(one.pair);
    const auto result = written{with_top(one.pair).dump()}.load();
    CHECK_FALSE(result.value);
    REQUIRE(pointers(result.problems) == std::string{one.pointer} + "\n");
    CHECK_THAT(result.problems[0].message, Catch::Contains(one.fragment));
    CHECK(result.certificates.empty());
}

TEST_CASE("the list and the directory of ticket keys have their types") {
    struct row {
        const char* key;
        const char* value;
        const char* fragment;
    };
    const auto one = GENERATE(values<row>({
        {"certificates", "{}", "must be a list of objects, not an object"},
        {"certificates", "null", "must be a list of objects, not null"},
        {"certificates", "\"x\"", "must be a list of objects, not the string \"x\""},
        {"ticket_keys_dir", "5", "must be a string or null, not 5"},
        {"ticket_keys_dir", "\"\"", "is not a path"},
    }));
    CAPTURE(one.key, one.value);
    auto tree = valid();
    tree[one.key] = json::parse(one.value);
    const auto result = written{tree.dump()}.load();
    REQUIRE(pointers(result.problems) == "/" + std::string{one.key} + "\n");
    CHECK_THAT(result.problems[0].message, Catch::Contains(one.fragment));
}

TEST_CASE("a key in the list that is none is refused, with TLS and without") {
    const bool insecure = GENERATE(false, true);
    auto tree = with_list(R"([{"sslSecret": "/s", "sslCname": "n", "sslCnam": "n", "refuse_expired": true}])");
    tree["allowInsecureConnections"] = insecure;
    const auto result = written{tree.dump()}.load();
    REQUIRE(pointers(result.problems) == "/certificates/0/refuse_expired\n/certificates/0/sslCnam\n");
    CHECK_THAT(result.problems[1].message, Catch::Contains("did you mean \"sslCname\"?"));
}

TEST_CASE("a list of pairs needs a default at the top") {
    auto tree = with_top("{}");
    tree["certificates"] = json::parse(R"([{"sslSecret": "/s", "sslCname": "n"}])");
    const written file{tree.dump()};
    const auto result = file.load();
    CHECK_FALSE(result.value);
    CHECK(lines(result.problems) ==
          texts{file.file() +
                ": /certificates: needs a default beside it, for clients that ask for none of its names: " + two_forms +
                " at the top of the file"});
}

TEST_CASE("the same pair twice is refused, however its paths are written") {
    struct row {
        std::string certificates, pointer, first;
    };
    const auto one = GENERATE(values<row>({
        {R"([{"sslCertPemFile": "x/../tls/./cert.pem", "sslKeyPemFile": "/keys/key.pem", "sslCname": "WWW.contoso.com"}])",
         "/certificates/0", "that at the top of the file"},
        {R"([{"sslSecret": "s", "sslCname": "n"}, {"sslSecret": "o", "sslCname": "n"}, {"sslSecret": "./s/", "sslCname": "N"}])",
         "/certificates/2", "/certificates/0"},
    }));
    CAPTURE(one.certificates);
    const auto result = written{with_list(one.certificates).dump()}.load();
    CHECK_FALSE(result.value);
    REQUIRE(pointers(result.problems) == one.pointer + "\n");
    CHECK(result.problems[0].message == "is the same pair as " + one.first + ": keep one");
}

TEST_CASE("pairs that differ in one thing are not the same") {
    const auto* const other = GENERATE(
        R"({"sslCertPemFile": "tls/cert.pem", "sslKeyPemFile": "/keys/key.pem", "sslCname": "iris.contoso.com"})",
        R"({"sslCertPemFile": "tls/cert.pem", "sslKeyPemFile": "/keys/2.pem", "sslCname": "www.contoso.com"})",
        R"({"sslCertPemFile": "tls/2.pem", "sslKeyPemFile": "/keys/key.pem", "sslCname": "www.contoso.com"})",
        R"({"sslSecret": "tls", "sslCname": "www.contoso.com"})");
    CAPTURE(other);
    CHECK(lines(written{with_list("[" + std::string{other} + "]").dump()}.load().problems) == texts{});
}

TEST_CASE("no TLS settings need the permission to do without, and all remedies are named") {
    auto tree = with_top("{}");
    const written file{tree.dump()};
    CHECK(lines(file.load().problems) ==
          texts{file.file() + ": /sslCertPemFile: is missing: " + two_forms +
                " to serve TLS, acme to have a certificate issued, or set allowInsecureConnections to true to serve "
                "plain HTTP"});

    tree["allowInsecureConnections"] = true;
    const auto allowed = written{tree.dump()}.load();
    REQUIRE(allowed.value);
    CHECK(allowed.value->allow_insecure_connections);
    CHECK(allowed.value->certificates.empty());
    CHECK(allowed.warnings.empty());

    tree["listen"]["http"] = json::array();
    CHECK(pointers(written{tree.dump()}.load().problems) == "/listen/http\n");
}

TEST_CASE("what clients are asked for, and what browsers are told, is off unless written") {
    const written bare{with_top(R"({"sslSecret": "s", "sslCname": "n"})").dump()};
    const auto off = bare.load().value.value();
    CHECK_FALSE(off.client_ca);
    CHECK_FALSE(off.strict_transport_security);

    const written file{with_top(R"({"sslSecret": "s", "sslCname": "n", "client_ca": {"file": "ca/clients.pem"},
                                    "strict_transport_security": {}})")
                           .dump()};
    const auto on = file.load().value.value();
    REQUIRE(on.client_ca);
    CHECK(on.client_ca->file == (file.folder() / "ca/clients.pem").string());
    CHECK(on.client_ca->mode == client_ca::demand::require); // who names authorities means it
    REQUIRE(on.strict_transport_security);
    CHECK(on.strict_transport_security->max_age == std::chrono::hours(365 * 24));
    CHECK_FALSE(on.strict_transport_security->include_subdomains);
    CHECK_FALSE(on.strict_transport_security->preload);

    const written other{with_top(R"({"sslSecret": "s", "sslCname": "n", "client_ca": {"file": "/c", "mode": "request"},
        "strict_transport_security": {"max_age_s": 31536000, "include_subdomains": true, "preload": true}})")
                            .dump()};
    const auto changed = other.load().value.value();
    CHECK(changed.client_ca->mode == client_ca::demand::request);
    CHECK(changed.strict_transport_security->preload);
}

TEST_CASE("demands on clients and browsers that make no sense are refused with advice") {
    struct row {
        const char* top;
        const char* pointer;
        const char* fragment;
    };
    const auto one = GENERATE(values<row>({
        {R"({"client_ca": {}})", "/client_ca/file", "\"client_ca\": null to ask clients for none"},
        {R"({"client_ca": {"file": ""}})", "/client_ca/file", "is not a path"},
        {R"({"client_ca": {"file": "c", "mode": "optional"}})", "/client_ca/mode", "request"},
        {R"({"client_ca": {"file": "c", "depth": 1}})", "/client_ca/depth", ""},
        {R"({"strict_transport_security": {"max_age_s": -1}})", "/strict_transport_security/max_age_s", "0"},
        {R"({"strict_transport_security": {"preload": true}})", "/strict_transport_security/preload",
         "needs include_subdomains true and max_age_s of at least 31536000"},
        {R"({"strict_transport_security": {"preload": true, "include_subdomains": true, "max_age_s": 31535999}})",
         "/strict_transport_security/preload", "set both, or leave it out"},
    }));
    CAPTURE(one.top);
    auto tree = with_top(one.top);
    tree["sslSecret"] = "s";
    tree["sslCname"] = "n";
    const auto problems = written{tree.dump()}.load().problems;
    REQUIRE(pointers(problems) == std::string{one.pointer} + "\n");
    CHECK_THAT(problems[0].message, Catch::Contains(one.fragment));
}

TEST_CASE("left-over TLS settings only warn without TLS, even if partial or odd") {
    struct row {
        const char* left_over;
        texts warned;
    };
    const auto one = GENERATE(values<row>({
        {R"({"sslCertPemFile": "c", "sslKeyPemFile": "k", "sslCname": "n"})",
         {"/sslCertPemFile", "/sslKeyPemFile", "/sslCname"}},
        {R"({"sslCertPemFile": "", "sslCname": "*"})", {"/sslCertPemFile", "/sslCname"}},
        {R"({"sslSecret": "s", "sslCertPemFile": "c"})", {"/sslCertPemFile", "/sslSecret"}},
        {R"({"sslSecret": ""})", {"/sslSecret"}},
        {R"({"certificates": [{}]})", {"/certificates"}},
        {R"({"certificates": [{"sslCname": "*", "sslSecret": "", "sslKeyPemFile": ""}, {"sslSecret": "s", "sslCname": "n"},
                              {"sslSecret": "s", "sslCname": "n"}]})",
         {"/certificates"}},
        {R"({"certificates": []})", {}},
        {R"({"ticket_keys_dir": ""})", {"/ticket_keys_dir"}},
        {R"({"ticket_keys_dir": "k", "sslCname": "n", "certificates": [{"sslCname": "n"}]})",
         {"/sslCname", "/certificates", "/ticket_keys_dir"}},
        {R"({"ticket_keys_dir": null})", {}},
        {R"({"client_ca": {}, "strict_transport_security": {"preload": true}})",
         {"/client_ca", "/strict_transport_security"}},
        {R"({"client_ca": null, "strict_transport_security": null})", {}},
    }));
    CAPTURE(one.left_over);
    auto tree = with_top(one.left_over);
    tree["allowInsecureConnections"] = true;
    const written file{tree.dump()};
    const auto result = file.load();
    CHECK(lines(result.problems) == texts{});
    REQUIRE(result.value);
    CHECK(result.value->certificates.empty());
    CHECK_FALSE(result.value->ticket_keys_dir);
    CHECK_FALSE(result.value->client_ca);
    CHECK_FALSE(result.value->strict_transport_security);
    CHECK(result.certificates.empty());
    texts expected;
    for (const auto& at : one.warned) {
        expected.push_back(file.file() + ": " + at + ": is not used, because allowInsecureConnections is true");
    }
    CHECK(result.warnings == expected);
}

TEST_CASE("left-over TLS settings still have JSON types") {
    struct row {
        const char* left_over;
        const char* pointer;
    };
    const auto one = GENERATE(values<row>({
        {R"({"sslCname": 5})", "/sslCname"},
        {R"({"sslSecret": null})", "/sslSecret"},
        {R"({"certificates": {}})", "/certificates"},
        {R"({"certificates": [7]})", "/certificates/0"},
        {R"({"certificates": [{"sslKeyPemFile": []}]})", "/certificates/0/sslKeyPemFile"},
        {R"({"ticket_keys_dir": true})", "/ticket_keys_dir"},
        {R"({"client_ca": true})", "/client_ca"},
        {R"({"strict_transport_security": {"max_age_s": "a year"}})", "/strict_transport_security/max_age_s"},
    }));
    CAPTURE(one.left_over);
    auto tree = with_top(one.left_over);
    tree["allowInsecureConnections"] = true;
    CHECK(pointers(written{tree.dump()}.load().problems) == std::string{one.pointer} + "\n");
}

TEST_CASE("a warning about an override names it") {
    auto tree = with_top("{}");
    tree["allowInsecureConnections"] = true;
    CHECK(written{tree.dump()}.load_with({"sslSecret=s"}).warnings ==
          texts{"--set sslSecret: /sslSecret: is not used, because allowInsecureConnections is true"});
}
