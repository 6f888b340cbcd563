// `acme`: what stands beside it, the name that is drawn, and where its certificate is.
#include "config/acme.hpp"
#include "unit/config/written.hpp"

using namespace scoregate::config;
using nlohmann::json;

namespace {

json with_acme(const json& more = json::object()) {
    auto tree = valid();
    tree.erase("sslCertPemFile");
    tree.erase("sslKeyPemFile");
    tree["acme"] = {
        {"directory", "https://provider.test/dir"}, {"contact", "ops@contoso.com"}, {"state_dir", "state/"}};
    tree["acme"].update(more);
    return tree;
}

json with_label(const std::string& label = "contoso") {
    auto tree = with_acme({{"leafDomainLabel", label}, {"domainSuffix", "models.test"}});
    tree.erase("sslCname");
    return tree;
}

void draw(const written& file, const std::string& name) {
    std::filesystem::create_directories(file.folder() / "state");
    std::ofstream{file.folder() / "state/domain"} << name << '\n';
}

} // namespace

TEST_CASE("acme has a certificate issued for sslCname, kept in state_dir") {
    const written file{with_acme().dump()};
    const auto loaded = file.load();
    CHECK(lines(loaded.problems) == std::vector<std::string>{});
    const auto& made = loaded.value.value();
    const auto state = (file.folder() / "state").string();
    CHECK(made.acme->domain == "www.contoso.com");
    CHECK(made.acme->state_dir == state);
    CHECK(made.acme->challenges() == state + "/webroot");
    REQUIRE(made.certificates.size() == 1);
    CHECK(made.certificates[0].certificate == state + "/www.contoso.com/cert.pem");
    CHECK(made.certificates[0].key == state + "/www.contoso.com/key.pem");
    CHECK(made.certificates[0].cname == "www.contoso.com");
    CHECK(made.certificates[0].awaited);
}

TEST_CASE("more pairs may stand beside it, after its own") {
    auto tree = with_acme();
    tree["certificates"] = {{{"sslSecret", "b"}, {"sslCname", "b.contoso.com"}}};
    const auto made = written{tree.dump()}.load().value.value();
    REQUIRE(made.certificates.size() == 2);
    CHECK(made.certificates[0].awaited);
    CHECK_FALSE(made.certificates[1].awaited);
}

TEST_CASE("what acme needs is told") {
    const json acme = GENERATE(json::object(), json{{"leafDomainLabel", "contoso"}});
    auto tree = valid();
    for (const auto* own : {"sslCertPemFile", "sslKeyPemFile"}) tree.erase(own);
    tree["acme"] = acme;
    if (!acme.empty()) tree.erase("sslCname");
    const std::string needed = "/acme/directory\n/acme/contact\n/acme/state_dir\n";
    CHECK(pointers(written{tree.dump()}.load().problems) == needed + (acme.empty() ? "" : "/acme/domainSuffix\n"));
}

TEST_CASE("a pair of one's own, or a name beside a label, is refused") {
    struct row {
        json tree;
        const char* key;
        const char* value;
    };
    const auto one = GENERATE_COPY(values<row>({{with_acme(), "sslCertPemFile", "c"},
                                                {with_acme(), "sslKeyPemFile", "k"},
                                                {with_acme(), "sslSecret", "s"},
                                                {with_label(), "sslSecret", "s"},
                                                {with_label(), "sslCname", "www.contoso.com"},
                                                {with_acme(), "sslCname", "10.0.0.1"}}));
    auto tree = one.tree;
    tree[one.key] = one.value;
    CAPTURE(tree.dump());
    CHECK(pointers(written{tree.dump()}.load().problems) == std::string("/") + one.key + "\n");
}

TEST_CASE("a domain without a label, an address as domain, a name that is too long, and no port to be asked on") {
    CHECK(pointers(written{with_acme({{"domainSuffix", "models.test"}}).dump()}.load().problems) ==
          "/acme/leafDomainLabel\n");
    auto tree = with_label();
    tree["acme"]["domainSuffix"] = "10.0.0.1";
    CHECK(pointers(written{tree.dump()}.load().problems) == "/acme/domainSuffix\n");
    CHECK(pointers(written{with_label(std::string(50, 'a')).dump()}.load().problems) == "/acme/leafDomainLabel\n");
    tree = with_acme();
    tree["listen"]["http"] = json::array();
    CHECK(pointers(written{tree.dump()}.load().problems) == "/listen/http\n");
}

TEST_CASE("without TLS what is left of acme is told, and not looked at") {
    auto tree = with_acme();
    tree["allowInsecureConnections"] = true;
    tree["acme"] = {{"directory", "nowhere"}};
    const auto loaded = written{tree.dump()}.load();
    CHECK(lines(loaded.problems) == std::vector<std::string>{});
    CHECK_FALSE(loaded.value.value().acme);
    CHECK(loaded.warnings.size() == 2); // sslCname too
}

TEST_CASE("a name is drawn once: what is kept is the name") {
    const written file{with_label().dump()};
    auto made = file.load().value.value();
    CHECK(made.acme->domain.empty());
    CHECK(made.certificates.empty());
    CHECK(made.acme->other_domain.empty());
    for (const auto* const other : {"", "other", "contoso.other.test", "contosoAB12cd.models.test",
                                    "contosoab12c.models.test", "contosoab12cd.models.test.evil"}) {
        draw(file, other);
        CAPTURE(other);
        made = file.load().value.value();
        CHECK(made.acme->domain.empty());
        CHECK(made.acme->other_domain == other); // which no start draws over
    }
    draw(file, "contosoab12cd.models.test");
    made = file.load().value.value();
    CHECK(made.acme->domain == "contosoab12cd.models.test");
    REQUIRE(made.certificates.size() == 1);
    CHECK(made.certificates[0].cname == "contosoab12cd.models.test");
}

TEST_CASE("a name that is kept and cannot be read is told, and not taken for none") {
    const written file{with_label().dump()};
    std::filesystem::create_directories(file.folder() / "state/domain"); // root too cannot read that as a file
    CHECK(pointers(file.load().problems) == "/acme/state_dir\n");
}

TEST_CASE("the name as it was drawn is no label") {
    const written file{with_label("contosoab12cd").dump()};
    CHECK(file.load().problems.empty());
    draw(file, "contosoab12cd.models.test");
    const auto problems = file.load().problems;
    REQUIRE(pointers(problems) == "/acme/leafDomainLabel\n");
    CHECK_THAT(problems[0].message, Catch::EndsWith("write \"contoso\" alone"));
}
