/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Containers: the forms of cgroup paths as runtimes make them, and names from files of the shape
 * that docker 20.10, podman 4.3, runc 1.1 and containerd's CRI plugin write (cut to what matters
 * and what might confuse).
 */
#include "fake_tree.h"

#include "containers/cgroup.h"
#include "containers/container.h"

#define ID "3f4c0a8e5d6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f"
#define ID2 "b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184"
#define UID "0e3c5c2a-6a0b-4d1c-9d5e-8a7b6c5d4e3f"
#define UID_ "0e3c5c2a_6a0b_4d1c_9d5e_8a7b6c5d4e3f"
#define MD5 "d8cdaec7a2d0fd1a62d1ad10e5b8f0a2"
#define SYSTEMD_USER "/user.slice/user-1000.slice/user@1000.service/user.slice"

static const struct {
	const char *path;
	const char *id, *runtime, *pod_uid; /* id NULL: no container */
} forms[] = {
	/* docker */
	{ "/docker/" ID, ID, "docker", "" },
	{ "/system.slice/docker-" ID ".scope", ID, "docker", "" },
	{ SYSTEMD_USER "/docker-" ID ".scope", ID, "docker", "" },
	{ "/docker/" ID "/init", ID, "docker", "" },
	{ "/docker/" ID "/system.slice/ssh.service", ID, "docker", "" },
	{ "/docker/" ID "/system.slice/var-lib-foo.mount", ID, "docker", "" },
	{ "/system.slice/docker-" ID ".scope/init.scope", ID, "docker", "" },
	{ "/docker/" ID "/docker/" ID2, ID2, "docker", "" },
	{ "/docker/" ID "/docker/" ID2 "/init", ID2, "docker", "" },
	{ "/docker/" ID "/docker", ID, "docker", "" },
	{ "/system.slice/docker-" ID ".scope/docker/" ID2, ID2, "docker", "" },
	{ "/actions_job/" ID, ID, "runc", "" },
	{ "/docker/buildkit/6v0ln7n1pr3fy7xkz6n0q2x4t", "6v0ln7n1pr3fy7xkz6n0q2x4t", "buildkit",
	  "" },
	{ "/docker", NULL, NULL, NULL },
	{ "/docker/buildkit", NULL, NULL, NULL },
	{ "/system.slice/docker.service", NULL, NULL, NULL },
	{ "/system.slice/docker.socket", NULL, NULL, NULL },
	{ "/docker/3f4c0a8e5d6b", NULL, NULL, NULL },
	{ "/docker/" ID "0", NULL, NULL, NULL },
	{ "/docker/3F4C0A8E5D6B7C8D9E0F1A2B3C4D5E6F708192A3B4C5D6E7F8091A2B3C4D5E6F", NULL, NULL,
	  NULL },
	{ "/system.slice/var-lib-docker-overlay2-" ID "-merged.mount", NULL, NULL, NULL },
	{ "/system.slice/docker-" ID ".mount", NULL, NULL, NULL },
	{ "/system.slice/" ID ".mount", NULL, NULL, NULL },
	/* podman; its health checks and monitors are no containers */
	{ "/machine.slice/libpod-" ID ".scope", ID, "podman", "" },
	{ "/machine.slice/libpod-" ID ".scope/container", ID, "podman", "" },
	{ "/libpod_parent/libpod-" ID, ID, "podman", "" },
	{ "/libpod_parent/" ID2 "/libpod-" ID, ID, "podman", "" },
	{ "/machine.slice/machine-libpod_pod_" ID2 ".slice/libpod-" ID ".scope", ID, "podman", "" },
	{ "/system.slice/web.service/libpod-payload-" ID, ID, "podman", "" },
	{ SYSTEMD_USER "/libpod-" ID ".scope/container", ID, "podman", "" },
	{ "/machine.slice/libpod-conmon-" ID ".scope", NULL, NULL, NULL },
	{ "/libpod_parent/conmon", NULL, NULL, NULL },
	{ "/libpod_parent/libpod-conmon-" ID, NULL, NULL, NULL },
	{ "/libpod_parent/" ID2, NULL, NULL, NULL },
	{ "/machine.slice/machine-libpod_pod_" ID2 ".slice", NULL, NULL, NULL },
	{ "/system.slice/" ID ".service", NULL, NULL, NULL },
	{ "/system.slice/" ID "-7b3.service", NULL, NULL, NULL },
	/* Kubernetes */
	{ "/kubepods/burstable/pod" UID "/" ID, ID, "containerd", UID },
	{ "/kubepods/besteffort/pod" UID "/" ID "/init", ID, "containerd", UID },
	{ "/kubepods/pod" MD5 "/" ID, ID, "containerd", MD5 },
	{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
	  ".slice/cri-containerd-" ID ".scope",
	  ID, "containerd", UID },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/docker-" ID ".scope", ID, "docker", UID },
	{ "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" MD5 ".slice/crio-" ID
	  ".scope",
	  ID, "crio", MD5 },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" ID ".scope/container", ID, "crio",
	  UID },
	{ "/kubepods/burstable/pod" UID "/crio-" ID, ID, "crio", UID },
	{ "/system.slice/containerd.service/kubepods-burstable-pod" UID_
	  ".slice:cri-containerd:" ID,
	  ID, "containerd", UID },
	{ "/kubepods-besteffort-pod" UID_ ".slice:cri-containerd:" ID, ID, "containerd", UID },
	{ "/docker/" ID2 "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
	  "kubelet-kubepods-burstable-pod" UID_ ".slice/cri-containerd-" ID ".scope",
	  ID, "containerd", UID },
	{ "/kubepods/burstable/pod" UID "/" ID "/docker/" ID2, ID2, "docker", UID },
	{ "/docker/" ID "/kubepods/burstable/pod" UID, ID, "docker", "" },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-conmon-" ID ".scope", NULL, NULL, NULL },
	{ "/kubepods/pod" UID "/crio-conmon-" ID, NULL, NULL, NULL },
	{ "/kubepods/burstable/pod" UID, NULL, NULL, NULL },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice", NULL, NULL, NULL },
	{ "/kubepods/podnot-a-uid/" ID, ID, "runc", "" },
	{ "/a-tripod" MD5 "/" ID, ID, "runc", "" },
	/* containerd without Kubernetes */
	{ "/default/" ID, ID, "containerd", "" },
	{ "/system.slice/nerdctl-" ID ".scope", ID, "containerd", "" },
	{ "/system.slice/containerd.service", NULL, NULL, NULL },
	/* ECS */
	{ "/ecs/" MD5 "/" MD5 "-1234567890", MD5 "-1234567890", "containerd", "" },
	{ "/ecs/" MD5 "/" MD5 "-2531612879/init", MD5 "-2531612879", "containerd", "" },
	{ "/ecs/my-cluster/" MD5 "/" ID, ID, "docker", "" },
	{ "/ecs/" UID "/" ID, ID, "docker", "" },
	{ "/ecstasks.slice/ecstasks-" MD5 ".slice/docker-" ID ".scope", ID, "docker", "" },
	{ "/ecs/" MD5, NULL, NULL, NULL },
	{ "/ecs/" MD5 "-", NULL, NULL, NULL },
	{ "/ecs/" MD5 "-12a", NULL, NULL, NULL },
	/* LXC, LXD, Proxmox */
	{ "/lxc.payload.web", "web", "lxc", "" },
	{ "/lxc.payload.web/system.slice/cron.service", "web", "lxc", "" },
	{ "/lxc.payload/web/init.scope", "web", "lxc", "" },
	{ "/lxc/101/ns/init.scope", "101", "lxc", "" },
	{ "/lxc/101/ns/docker/" ID, ID, "docker", "" },
	{ "/lxc.monitor.web", NULL, NULL, NULL },
	{ "/lxc.monitor/web", NULL, NULL, NULL },
	{ "/lxc.payload.", NULL, NULL, NULL },
	{ "/lxc", NULL, NULL, NULL },
	{ "/lxc/..", NULL, NULL, NULL },
	/* runc's systemd driver, somebody's own prefix */
	{ "/user.slice/runc-my\\x2dapp.scope", "my-app", "runc", "" },
	{ "/system.slice/runc-" ID ".scope", ID, "runc", "" },
	{ "/system.slice/acme-" ID ".scope", ID, "runc", "" },
	{ "/system.slice/acme-" ID, NULL, NULL, NULL },
	{ "/user.slice/runc-a\\x0ab.scope", NULL, NULL, NULL },
	{ "/user.slice/runc-a\\x2fb.scope", NULL, NULL, NULL },
	/* systemd: machines are containers, services and sessions are not */
	{ "/machine.slice/systemd-nspawn@deb12.service/payload", "deb12", "systemd", "" },
	{ "/machine.slice/machine-deb\\x2d12.scope/payload/init.scope", "deb-12", "systemd", "" },
	{ "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", NULL, NULL, NULL },
	{ "/system.slice/nginx.service", NULL, NULL, NULL },
	{ "/user.slice/user-1000.slice/session-3.scope", NULL, NULL, NULL },
	{ "/init.scope", NULL, NULL, NULL },
	{ "/", NULL, NULL, NULL },
	/* what nobody makes by accident */
	{ "", NULL, NULL, NULL },
	{ ID, NULL, NULL, NULL },
	{ "docker/" ID, NULL, NULL, NULL },
	{ "/../../docker/" ID, ID, "docker", "" },
	{ "//docker//" ID "//", ID, "docker", "" },
	{ "/docker/" ID "\n/x", NULL, NULL, NULL },
	{ "/docker\n/" ID, NULL, NULL, NULL },
	{ "/docker/\033[31m" ID, NULL, NULL, NULL },
	{ "/::", NULL, NULL, NULL },
	{ "/:docker:", NULL, NULL, NULL },
	{ "/a:docker:" ID ":", NULL, NULL, NULL },
	{ "/a:b:" ID, NULL, NULL, NULL },
	{ "/.scope", NULL, NULL, NULL },
	{ "/-" ID ".scope", NULL, NULL, NULL },
	{ "/pod", NULL, NULL, NULL },
	{ "/.slice", NULL, NULL, NULL },
};

static void test_forms(void **state)
{
	struct container c;
	size_t i;
	bool is;

	(void)state;
	for (i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		memset(&c, 'x', sizeof(c));
		is = container__of_path(forms[i].path, &c);
		if (is != (forms[i].id != NULL))
			fail_msg("%s: %s", forms[i].path, is ? c.id : "not taken for a container");
		if (!is) {
			assert_int_equal(c.id[0], 'x');
			continue;
		}
		if (strcmp(c.id, forms[i].id) || strcmp(c.runtime, forms[i].runtime) ||
		    strcmp(c.pod_uid, forms[i].pod_uid))
			fail_msg("%s: %s %s '%s'", forms[i].path, c.id, c.runtime, c.pod_uid);
		assert_string_equal(c.name, "");
		assert_string_equal(c.image, "");
	}
}

static void test_long_paths(void **state)
{
	static char path[100000];
	struct container c;
	size_t i;

	(void)state;
	assert_false(container__of_path(NULL, &c));
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	assert_false(container__of_path(path, &c));
	memcpy(path, "/lxc/", 5);
	path[5 + 79] = '\0';
	assert_true(container__of_path(path, &c));
	assert_int_equal(strlen(c.id), 79);
	path[5 + 79] = 'a';
	path[5 + 80] = '\0';
	assert_false(container__of_path(path, &c));
	for (i = 0; i < sizeof(path) - 1; i++)
		path[i] = i % 2 ? 'x' : '/';
	assert_false(container__of_path(path, &c));
	strcpy(path + 4000, "/docker/" ID);
	assert_true(container__of_path(path, &c));
	assert_string_equal(c.id, ID);
}

/* --- names --- */

#define DOCKER_CONFIG(id, name, image, labels)                                                     \
	"{\"StreamConfig\":{},\"State\":{\"Running\":true,\"Pid\":4711,\"Health\":null},\"ID\":"   \
	"\"" id "\","                                                                              \
	"\"Created\":\"2024-05-01T10:00:00Z\",\"Managed\":false,\"Path\":\"python3\",\"Args\":[]," \
	"\"Config\":{\"Hostname\":\"3f4c0a8e5d6b\",\"Env\":[\"A=\\\"Name\\\"\"],\"Image\":"        \
	"\"" image "\",\"Labels\":" labels "},\"Image\":\"sha256:aa\",\"Name\":\"" name            \
	"\",\"Driver\":\"overlay2\"}"

#define RUNC_STATE(id, paths)                                                                      \
	"{\"id\":\"" id "\",\"init_process_pid\":4711,\"created\":\"2024-05-01T10:00:00Z\","       \
			"\"config\":{\"rootfs\":\"/r\","                                           \
	"\"cgroups\":{\"path\":\"/"                                                                \
	"x\",\"Systemd\":false}},\"rootless\":false,\"cgroup_paths\":{" paths "}}"

#define V1_PATHS(path)                                                                             \
	"\"cpu\":\"/sys/fs/cgroup/cpu" path "-wrong\",\"memory\":\"/sys/fs/cgroup/memory" path     \
	"\",\"\":"                                                                                 \
	"\"/sys/fs/cgroup/unified" path "-wrong\""

static struct container_names *open_names(void)
{
	struct container_names *n = NULL;

	assert_int_equal(container_names__new(tree_path(""), &n), 0);
	return n;
}

static struct container look_up(struct container_names *n, const char *path)
{
	struct container c;

	memset(&c, 'x', sizeof(c));
	container_names__lookup(n, path, &c);
	return c;
}

static void expect(struct container_names *n, const char *path, const char *runtime, const char *id,
		   const char *name)
{
	struct container c = look_up(n, path);

	assert_string_equal(c.id, id);
	assert_string_equal(c.name, name);
	assert_string_equal(c.runtime, runtime);
}

static void test_outside(void **state)
{
	struct container_names *n = open_names();
	char longer[5000];

	(void)state;
	expect(n, "/system.slice/nginx.service", "", "", "/system.slice/nginx.service");
	expect(n, "/", "", "", "/");
	expect(n, "", "", "", "");
	expect(n, "/a\nb\033[1m", "", "", "/a?b?[1m");
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(strlen(look_up(n, longer).name),
			 sizeof(((struct container *)NULL)->name) - 1);
	/* Ids without files: digits as docker ps shows them; names that people gave stay whole. */
	expect(n, "/docker/" ID, "docker", ID, "3f4c0a8e5d6b");
	expect(n, "/lxc/web", "lxc", "web", "web");
	container_names__free(n);
	container_names__free(NULL);
}

static void test_docker(void **state)
{
	struct container_names *n;
	struct container c;

	(void)state;
	tree_write("/var/lib/docker/containers/" ID "/config.v2.json",
		   DOCKER_CONFIG(ID, "/shop-web", "shop:1.2", "{}"));
	tree_write(
		"/elsewhere/containers/" ID2 "/config.v2.json",
		DOCKER_CONFIG(
			ID2, "/k8s_x", "sha256:ab",
			"{\"io.kubernetes.container.name\":\"app\",\"io.kubernetes.pod.name\":"
			"\"web-0\","
			"\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.pod.uid\":\"" UID
			"\"}"));
	n = open_names();
	expect(n, "/docker/" ID "/init", "docker", ID, "shop-web");
	assert_string_equal(look_up(n, "/docker/" ID "/init").image, "shop:1.2");
	/* A parent of the user's own. */
	expect(n, "/actions_job/" ID, "docker", ID, "shop-web");
	expect(n, "/docker/" ID2, "docker", ID2, "b1946ac92492");
	container_names__free(n);

	tree_write("/etc/docker/daemon.json", "{\"data-root\": \"/elsewhere\", \"debug\": true}");
	n = open_names();
	expect(n, "/docker/" ID, "docker", ID, "3f4c0a8e5d6b");
	c = look_up(n, "/kubepods/burstable/pod" UID "/" ID2);
	assert_string_equal(c.runtime, "docker");
	assert_string_equal(c.name, "web-0/app");
	assert_string_equal(c.pod, "shop/web-0");
	assert_string_equal(c.pod_uid, UID);
	container_names__free(n);
}

static void test_docker_hostile(void **state)
{
	static const struct {
		const char *text, *name;
	} cases[] = {
		{ "", "3f4c0a8e5d6b" },
		{ "{", "3f4c0a8e5d6b" },
		{ "null", "3f4c0a8e5d6b" },
		{ "[]", "3f4c0a8e5d6b" },
		{ "\"Name\"", "3f4c0a8e5d6b" },
		{ "{\"Name\":17,\"Config\":[{\"Image\":\"x\"}]}", "3f4c0a8e5d6b" },
		{ "{\"Name\":\"\",\"Config\":\"\"}", "3f4c0a8e5d6b" },
		{ "{\"Name\":\"/"
		  "a\\nb\\u001b[2J\\u0000c\",\"Config\":{\"Labels\":{\"io.kubernetes.pod.name\":{}}"
		  "}}",
		  "a?b?[2J" },
		{ "{\"Name\":\"/ok\",\"Config\":{\"Image\":7,\"Labels\":null}}", "ok" },
		{ "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
		  "3f4c0a8e5d6b" },
	};
	static char large[5 << 20];
	struct container_names *n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		tree_write("/var/lib/docker/containers/" ID "/config.v2.json", cases[i].text);
		n = open_names();
		expect(n, "/docker/" ID, "docker", ID, cases[i].name);
		container_names__free(n);
	}
	memset(large, ' ', sizeof(large) - 1);
	memcpy(large, "{\"Name\":\"/big\"", 14);
	large[sizeof(large) - 2] = '}';
	tree_write("/var/lib/docker/containers/" ID "/config.v2.json", large);
	n = open_names();
	expect(n, "/docker/" ID, "docker", ID, "3f4c0a8e5d6b");
	container_names__free(n);
	/* Names of 300 bytes of a two-byte letter are cut between letters. */
	strcpy(large, "{\"Name\":\"/");
	for (i = 0; i < 150; i++)
		strcat(large, "\303\244");
	strcat(large, "\"}");
	tree_write("/var/lib/docker/containers/" ID "/config.v2.json", large);
	n = open_names();
	assert_int_equal(strlen(look_up(n, "/docker/" ID).name), 254);
	container_names__free(n);
	tree_remove("/var/lib/docker/containers/" ID "/config.v2.json");
	assert_int_equal(
		mkfifo(tree_path("/var/lib/docker/containers/" ID "/config.v2.json"), 0600), 0);
	n = open_names();
	expect(n, "/docker/" ID, "docker", ID, "3f4c0a8e5d6b");
	container_names__free(n);
}

static void test_storage(void **state)
{
	struct container_names *n;
	struct container c;

	(void)state;
	tree_write("/var/lib/containers/storage/overlay-containers/containers.json",
		   "[{\"id\":\"" ID
		   "\",\"names\":[\"db\",\"alias\"],\"image\":\"ab12\",\"layer\":\"cd34\","
		   "\"metadata\":\"{\\\"image-name\\\":\\\"docker.io/library/"
		   "postgres:16\\\",\\\"name\\\":\\\"db\\\"}\","
		   "\"created\":\"2024-05-01T10:00:00Z\",\"flags\":{\"MountLabel\":\"\"}},"
		   "7,{\"id\":5},{\"id\":\"" ID2 "\",\"names\":[\"k8s_app_web-0_shop_" UID
		   "_3\"],\"metadata\":\"{\"}]");
	n = open_names();
	c = look_up(n, "/machine.slice/libpod-" ID ".scope/container");
	assert_string_equal(c.name, "db");
	assert_string_equal(c.image, "docker.io/library/postgres:16");
	c = look_up(n, "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" ID2 ".scope");
	assert_string_equal(c.name, "web-0/app");
	assert_string_equal(c.pod, "shop/web-0");
	assert_string_equal(c.runtime, "crio");
	expect(n, "/machine.slice/libpod-conmon-" ID ".scope", "", "",
	       "/machine.slice/libpod-conmon-" ID ".scope");

	/* `podman run --rm` writes to a list of its own; the one we have seen stays known. */
	tree_remove("/var/lib/containers/storage/overlay-containers/containers.json");
	tree_write("/run/containers/storage/overlay-containers/volatile-containers.json",
		   "[{\"id\":\"" ID2 "\",\"names\":[\"once\"]}]");
	expect(n, "/mine/" ID2, "podman", ID2, "once");
	expect(n, "/machine.slice/libpod-" ID ".scope/container", "podman", ID, "db");
	container_names__free(n);
}

static void test_containerd(void **state)
{
	struct container_names *n;
	struct container c;

	(void)state;
	tree_write("/run/containerd/io.containerd.runtime.v2.task/k8s.io/" ID "/config.json",
		   "{\"ociVersion\":\"1.1.0\",\"annotations\":{\"io.kubernetes.cri.container-"
		   "name\":\"app\","
		   "\"io.kubernetes.cri.container-type\":\"container\",\"io.kubernetes.cri.image-"
		   "name\":\"r/shop:2\","
		   "\"io.kubernetes.cri.sandbox-name\":\"web-0\",\"io.kubernetes.cri.sandbox-"
		   "namespace\":\"shop\","
		   "\"io.kubernetes.cri.sandbox-uid\":\"" UID "\"}}");
	tree_write("/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/" ID2 "/config.json",
		   "{\"annotations\":{\"io.kubernetes.cri.container-type\":\"sandbox\","
		   "\"io.kubernetes.cri.sandbox-name\":\"web-0\",\"io.kubernetes.cri.sandbox-"
		   "namespace\":\"shop\"}}");
	n = open_names();
	c = look_up(n, "/kubepods-burstable-pod" UID_ ".slice:cri-containerd:" ID);
	assert_string_equal(c.name, "web-0/app");
	assert_string_equal(c.image, "r/shop:2");
	assert_string_equal(c.pod, "shop/web-0");
	assert_string_equal(c.pod_uid, UID);
	expect(n, "/kubepods/pod" UID "/" ID2, "containerd", ID2, "web-0/POD");
	container_names__free(n);
}

static void test_runc(void **state)
{
	struct container_names *n;

	(void)state;
	tree_write("/run/runc/leaky/state.json", RUNC_STATE("leaky", V1_PATHS("/demo/any-path")));
	tree_write("/run/runc/two/state.json",
		   RUNC_STATE("two", "\"\":\"/sys/fs/cgroup/demo/v2\""));
	tree_write("/run/runc/bad1/state.json", RUNC_STATE("bad1", "\"\":\"/sys/fs/cgroup\""));
	tree_write("/run/runc/bad2/state.json", RUNC_STATE("bad2", "\"memory\":\"/etc/passwd\""));
	tree_write("/run/runc/bad3/state.json", "{\"id\":\"bad3\",\"cgroup_paths\":[]}");
	tree_write("/run/runc/bad4/state.json", "");
	tree_write("/run/docker/runtime-runc/moby/" ID "/state.json",
		   RUNC_STATE(ID, V1_PATHS("/custom/box")));
	tree_write("/var/lib/docker/containers/" ID "/config.v2.json",
		   DOCKER_CONFIG(ID, "/boxed", "i", "null"));
	tree_write("/run/containerd/runc/default/my-task/state.json",
		   RUNC_STATE("my-task", V1_PATHS("/default/my-task")));
	tree_write("/elsewhere/r/state.json", RUNC_STATE("r", V1_PATHS("/r-path")));
	n = open_names();
	assert_int_equal(container_names__add_runc_root(n, tree_path("/elsewhere")), 0);
	expect(n, "/demo/any-path", "runc", "leaky", "leaky");
	expect(n, "/demo/any-path/sub/sub", "runc", "leaky", "leaky");
	expect(n, "/demo/any-pathology", "", "", "/demo/any-pathology");
	expect(n, "/demo", "", "", "/demo");
	expect(n, "/demo/v2", "runc", "two", "two");
	expect(n, "/custom/box", "docker", ID, "boxed");
	expect(n, "/default/my-task", "containerd", "my-task", "my-task");
	expect(n, "/r-path", "runc", "r", "r");
	/* A container inside of runc's is the inner one. */
	expect(n, "/demo/any-path/docker/" ID2, "docker", ID2, "b1946ac92492");
	container_names__free(n);
}

static void test_sets_change(void **state)
{
	struct container_names *n = open_names();

	(void)state;
	expect(n, "/a", "", "", "/a");
	/* A new path makes it look again, for those it knew nothing about too. */
	tree_write("/run/runc/one/state.json", RUNC_STATE("one", V1_PATHS("/a")));
	expect(n, "/b", "", "", "/b");
	expect(n, "/a", "runc", "one", "one");
	/* What is gone keeps its name. */
	tree_remove("/run/runc/one");
	expect(n, "/c", "", "", "/c");
	expect(n, "/a", "runc", "one", "one");
	/* Another takes its path. */
	tree_write("/run/runc/two/state.json", RUNC_STATE("two", V1_PATHS("/a")));
	expect(n, "/d", "", "", "/d");
	expect(n, "/a", "runc", "two", "two");
	container_names__free(n);
}

static int find(struct container_names *n, struct cgroups *c, const char *what, char *path)
{
	strcpy(path, "kept");
	return container_names__find(n, c, what, path, 512);
}

static void test_find(void **state)
{
	static const struct {
		const char *what;
		int err;
		const char *path;
	} cases[] = {
		{ "shop-web", 0, "/docker/" ID },
		{ ID, 0, "/docker/" ID },
		{ "3f4c0a8e5d6b", 0, "/docker/" ID },
		{ "3f4c", 0, "/docker/" ID },
		{ "3f4", -ENOENT, "kept" },
		{ "b194", -EEXIST, "kept" },
		{ "b1946", 0, "/libpod_parent/libpod-" ID2 },
		{ "leaky", 0, "/demo/any-path" },
		{ "leak", 0, "/demo/any-path" },
		{ "one", -EEXIST, "kept" },
		{ "nobody", -ENOENT, "kept" },
		{ "", -ENOENT, "kept" },
		/* A name wins over the beginning of an id. */
		{ "feed", 0, "/lxc.payload.feed" },
		{ "/docker", 0, "/docker" },
		{ "/docker/", 0, "/docker" },
		{ "/", 0, "/" },
		{ "/nope", -ENOENT, "kept" },
		{ "/demo/../docker", -ENOENT, "kept" },
	};
	static const char feed[] =
		"feed0a8e5d6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f";
	struct container_names *n;
	struct cgroups *c;
	char path[512];
	size_t i;

	(void)state;
	tree_write("/proc/self/mountinfo", "41 31 0:38 / @/cg rw - cgroup2 cgroup2 rw\n");
	tree_mkdir("/cg/docker/" ID "/init/deeper");
	tree_mkdir("/cg/docker/" ID
		   "/docker/b194aaaa2492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184");
	tree_mkdir("/cg/libpod_parent/libpod-" ID2);
	tree_mkdir("/cg/libpod_parent/libpod-conmon-" ID);
	tree_mkdir("/cg/demo/any-path/sub");
	tree_mkdir("/cg/lxc.payload.one");
	tree_mkdir("/cg/one");
	tree_mkdir("/cg/lxc.payload.feed");
	snprintf(path, sizeof(path), "/cg/%s", feed);
	tree_mkdir(path);
	tree_write("/var/lib/docker/containers/" ID "/config.v2.json",
		   DOCKER_CONFIG(ID, "/shop-web", "i", "{}"));
	tree_write("/run/runc/leaky/state.json",
		   RUNC_STATE("leaky", "\"\":\"/sys/fs/cgroup/demo/any-path\""));
	tree_write("/run/runc/one/state.json", RUNC_STATE("one", "\"\":\"/sys/fs/cgroup/one\""));
	assert_int_equal(cgroups__new(tree_path("/proc"), &c), 0);
	n = open_names();
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (find(n, c, cases[i].what, path) != cases[i].err || strcmp(path, cases[i].path))
			fail_msg("%s: %s", cases[i].what, path);
	}
	assert_int_equal(find(n, c, tree_path("/cg/demo"), path), 0);
	assert_string_equal(path, "/demo");
	assert_int_equal(find(n, c, tree_path("/cg"), path), 0);
	assert_string_equal(path, "/");
	assert_int_equal(container_names__find(n, c, "leaky", path, 10), -ENAMETOOLONG);
	tree_write("/var/lib/docker/containers/" ID "/config.v2.json",
		   DOCKER_CONFIG(ID, "/renamed", "i", "{}"));
	assert_int_equal(find(n, c, "renamed", path), 0);
	assert_int_equal(find(n, c, "shop-web", path), -ENOENT);
	container_names__free(n);
	cgroups__free(c);
}

static void test_find_pod(void **state)
{
	struct container_names *n;
	struct cgroups *c;
	char path[512];

	(void)state;
	tree_write("/proc/self/mountinfo", "41 31 0:38 / @/cg rw - cgroup2 cgroup2 rw\n");
	tree_mkdir("/cg/kubepods/crio-" ID);
	tree_mkdir("/cg/kubepods/crio-" ID2);
	tree_write("/var/lib/containers/storage/overlay-containers/containers.json",
		   "[{\"id\":\"" ID "\",\"names\":[\"k8s_app_web-0_shop_" UID "_0\"]},"
		   "{\"id\":\"" ID2 "\",\"names\":[\"k8s_app_web-0_test_" UID "_0\"]}]");
	assert_int_equal(cgroups__new(tree_path("/proc"), &c), 0);
	n = open_names();
	assert_int_equal(find(n, c, "web-0/app", path), -EEXIST);
	assert_int_equal(find(n, c, "test/web-0/app", path), 0);
	assert_string_equal(path, "/kubepods/crio-" ID2);
	assert_int_equal(find(n, c, "test/web-0", path), -ENOENT);
	container_names__free(n);
	cgroups__free(c);
}

int main(void)
{
#define IN_TREE(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms), cmocka_unit_test(test_long_paths),
		IN_TREE(test_outside),	      IN_TREE(test_docker),
		IN_TREE(test_docker_hostile), IN_TREE(test_storage),
		IN_TREE(test_containerd),     IN_TREE(test_runc),
		IN_TREE(test_sets_change),    IN_TREE(test_find),
		IN_TREE(test_find_pod),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
