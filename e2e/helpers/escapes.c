/* What somebody may try who runs as root in a container, call by call. Each try is told as "held NAME (why)" or "ESCAPED NAME"; what the
   machine does not know at all is held as well. Static, so that an image needs nothing else.

   usage: escapes            every try
          escapes spoof SOURCE TARGET PORT    datagrams from an address that is not ours, by a raw socket and by a packet socket
          escapes say TARGET PORT             the same honestly, once a second
          escapes hear PORT                   tells every datagram */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/perf_event.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#define SYS_fsopen 430
#define SYS_pidfd_open 434
#define SYS_mount_setattr 442
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

static void tell(const char *name, long result) {
    if (result < 0)
        printf("held %s (%s)\n", name, strerror(errno));
    else
        printf("ESCAPED %s\n", name);
    fflush(stdout);
}

/* In a process of its own: a try may change, stop or kill whoever makes it. */
#define TRY(name, expression)                                         \
    do {                                                              \
        fflush(stdout);                                               \
        pid_t child = fork();                                         \
        if (child == 0) {                                             \
            alarm(5);                                                 \
            errno = 0;                                                \
            tell(name, (long)(expression));                           \
            _exit(0);                                                 \
        }                                                             \
        int status = 0;                                               \
        waitpid(child, &status, 0);                                   \
        if (WIFSIGNALED(status))                                      \
            printf("held %s (signal %d)\n", name, WTERMSIG(status));  \
    } while (0)

static long reads(const char *path) {
    char buffer[64];
    int file = open(path, O_RDONLY | O_NONBLOCK);
    if (file < 0) return -1;
    ssize_t got = read(file, buffer, sizeof buffer);
    if (got > 0)
        for (ssize_t at = 0; at < got; at++)
            if (buffer[at]) return 0;
    if (got >= 0) errno = ENODATA;
    return -1;
}

static long writes(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_NONBLOCK);
    return file < 0 ? -1 : write(file, text, strlen(text));
}

/* A device that no container should have, made and opened. */
static long device(mode_t kind, unsigned major, unsigned minor) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/device-%u-%u", major, minor);
    unlink(path);
    if (mknod(path, kind | 0600, makedev(major, minor)) < 0) return -1;
    return open(path, O_RDWR | O_NONBLOCK);
}

/* Processes that can be reached although they are not in this container: /proc shows all that are. */
static long strangers(long (*reach)(pid_t)) {
    for (pid_t pid = 1; pid < 40000; pid++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/%d", pid);
        if (access(path, F_OK) == 0) continue;
        if (reach(pid) == 0) {
            printf("reached %d\n", pid);
            return 0;
        }
    }
    errno = ESRCH;
    return -1;
}

static long seize(pid_t pid) { return ptrace(PTRACE_SEIZE, pid, 0, 0); }
static long signal_to(pid_t pid) { return kill(pid, 0); }
static long open_pid(pid_t pid) { return syscall(SYS_pidfd_open, pid, 0) < 0 ? -1 : 0; }
static long memory_of(pid_t pid) {
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
    return process_vm_readv(pid, &here, 1, &there, 1, 0) < 0 && errno == ESRCH ? -1 : 0;
}
static long priority_of(pid_t pid) { return sched_getscheduler(pid) < 0 ? -1 : 0; }

/* A descriptor that the runtime forgot, on something that is not in this container. */
static long left_open(void) {
    struct stat own, found;
    stat("/", &own);
    for (int file = 3; file < 1024; file++)
        if (fstat(file, &found) == 0 && (S_ISDIR(found.st_mode) || S_ISSOCK(found.st_mode))) {
            printf("descriptor %d\n", file);
            return 0;
        }
    errno = EBADF;
    return -1;
}

/* Out of a chroot in the well-known way, and then up as far as it goes. */
static long climb(void) {
    struct stat before, after;
    stat("/", &before);
    mkdir("/tmp/cell", 0700);
    int outside = open("/", O_RDONLY | O_DIRECTORY);
    if (outside < 0 || chroot("/tmp/cell") < 0 || fchdir(outside) < 0) return -1;
    for (int step = 0; step < 64; step++)
        if (chdir("..") < 0) return -1;
    if (chroot(".") < 0 || stat("/", &after) < 0) return -1;
    if (before.st_dev != after.st_dev || before.st_ino != after.st_ino) return 0;
    errno = EXDEV;
    return -1;
}

static long enter(const char *kind) {
    char path[64];
    snprintf(path, sizeof path, "/proc/1/ns/%s", kind);
    int file = open(path, O_RDONLY);
    return file < 0 ? -1 : setns(file, 0);
}

static long by_handle(void) {
    struct {
        struct file_handle head;
        unsigned char bytes[8];
    } handle = {.head = {.handle_bytes = 8, .handle_type = 1}, .bytes = {2}};
    return open_by_handle_at(open("/etc/hosts", O_RDONLY), &handle.head, O_RDONLY);
}

static long load_bpf(int kind) {
    struct bpf_insn program[] = {{.code = 0xb7}, {.code = 0x95}};
    union bpf_attr attr = {0};
    attr.prog_type = kind;
    attr.insns = (unsigned long)program;
    attr.insn_cnt = 2;
    attr.license = (unsigned long)"GPL";
    return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

static long watch_kernel(void) {
    struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_CPU_CLOCK};
    return syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0);
}

static long push_into_terminal(void) {
    char letter = 'x';
    return ioctl(0, TIOCSTI, &letter);
}

static long rename_link(void) {
    struct ifreq request = {0};
    strcpy(request.ifr_name, "eth0");
    strcpy(request.ifr_newname, "evil0");
    return ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFNAME, &request);
}

static long listen_to_all(void) {
    struct ifreq request = {0};
    int file = socket(AF_INET, SOCK_DGRAM, 0);
    strcpy(request.ifr_name, "eth0");
    if (ioctl(file, SIOCGIFFLAGS, &request) < 0) return -1;
    request.ifr_flags |= IFF_PROMISC;
    return ioctl(file, SIOCSIFFLAGS, &request);
}

static unsigned short sum(const void *data, size_t length) {
    const unsigned short *words = data;
    unsigned long total = 0;
    for (; length > 1; length -= 2) total += *words++;
    while (total >> 16) total = (total & 0xffff) + (total >> 16);
    return ~total;
}

static int spoof(const char *source, const char *target, int port) {
    struct {
        struct iphdr ip;
        struct udphdr udp;
        char text[8];
    } __attribute__((packed)) packet = {0};
    packet.ip.version = 4;
    packet.ip.ihl = 5;
    packet.ip.ttl = 64;
    packet.ip.protocol = IPPROTO_UDP;
    packet.ip.tot_len = htons(sizeof packet);
    packet.ip.saddr = inet_addr(source);
    packet.ip.daddr = inet_addr(target);
    packet.ip.check = sum(&packet.ip, sizeof packet.ip);
    packet.udp.source = packet.udp.dest = htons(port);
    packet.udp.len = htons(sizeof packet.udp + sizeof packet.text);
    memcpy(packet.text, "SPOOFED\n", 8);

    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = packet.ip.daddr};
    long sent = raw < 0 ? -1 : sendto(raw, &packet, sizeof packet, 0, (void *)&to, sizeof to);
    printf("raw %s\n", sent < 0 ? strerror(errno) : "sent");

    /* A whole frame, to every neighbour that is known. */
    int frames = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = if_nametoindex("eth0"), .sll_halen = 6};
    memset(link.sll_addr, 0xff, 6);
    sent = frames < 0 ? -1 : sendto(frames, &packet, sizeof packet, 0, (void *)&link, sizeof link);
    printf("frame %s\n", sent < 0 ? strerror(errno) : "sent");
    return 0;
}

static int say(const char *target, int port) {
    int file = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = inet_addr(target)};
    while (sendto(file, "FRIEND\n", 7, 0, (void *)&to, sizeof to) > 0) sleep(1);
    return 1;
}

static int hear(int port) {
    int file = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (bind(file, (void *)&at, sizeof at) < 0) return 1;
    puts("listening");
    for (char text[64];;) {
        fflush(stdout);
        ssize_t got = recv(file, text, sizeof text, 0);
        if (got > 0) printf("heard %.*s", (int)got, text);
    }
}

int main(int count, char **words) {
    if (count == 4 && strcmp(words[1], "say") == 0) return say(words[2], atoi(words[3]));
    if (count == 3 && strcmp(words[1], "hear") == 0) return hear(atoi(words[2]));
    if (count == 5 && strcmp(words[1], "spoof") == 0) return spoof(words[2], words[3], atoi(words[4]));

    TRY("mount: tmpfs", mount("none", "/tmp", "tmpfs", 0, ""));
    TRY("mount: bind", mount("/", "/tmp", "", MS_BIND, ""));
    TRY("mount: proc", mount("proc", "/tmp", "proc", 0, ""));
    TRY("mount: control groups 1", mount("cgroup", "/tmp", "cgroup", 0, "memory"));
    TRY("mount: control groups 2", mount("none", "/tmp", "cgroup2", 0, ""));
    TRY("mount: root read-write", mount("", "/", "", MS_REMOUNT, ""));
    TRY("mount: /sys read-write", mount("", "/sys", "", MS_REMOUNT | MS_BIND, ""));
    TRY("mount: /proc/sys read-write", mount("", "/proc/sys", "", MS_REMOUNT | MS_BIND, ""));
    TRY("mount: what is masked", umount2("/proc/kcore", MNT_DETACH));
    TRY("mount: a tree of its own", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    TRY("mount: a file system", syscall(SYS_fsopen, "tmpfs", 0));
    TRY("mount: moved", syscall(SYS_move_mount, AT_FDCWD, "/tmp", AT_FDCWD, "/data", 0));
    TRY("mount: attributes", syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32));
    TRY("root: pivot", syscall(SYS_pivot_root, "/", "/tmp"));
    TRY("root: climbing out of a chroot", climb());
    TRY("root: by file handle", by_handle());
    TRY("root: a descriptor left open", left_open());

    TRY("namespaces: user", unshare(CLONE_NEWUSER));
    TRY("namespaces: mount", unshare(CLONE_NEWNS));
    TRY("namespaces: network", unshare(CLONE_NEWNET));
    TRY("namespaces: processes", unshare(CLONE_NEWPID));
    TRY("namespaces: control groups", unshare(CLONE_NEWCGROUP));
    TRY("namespaces: clone", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    TRY("namespaces: clone with another namespace", syscall(SYS_clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0));
    TRY("namespaces: clone3", syscall(SYS_clone3, (unsigned long[11]){CLONE_NEWUSER}, 88));
    TRY("namespaces: entering mount", enter("mnt"));
    TRY("namespaces: entering network", enter("net"));
    TRY("namespaces: entering processes", enter("pid"));

    TRY("processes: tracing one outside", strangers(seize));
    TRY("processes: signalling one outside", strangers(signal_to));
    TRY("processes: holding one outside", strangers(open_pid));
    TRY("processes: reading one's memory outside", strangers(memory_of));
    TRY("processes: looking at one outside", strangers(priority_of));
    TRY("processes: a higher priority", setpriority(PRIO_PROCESS, 0, -20));
    TRY("processes: real time", sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}));

    TRY("kernel: module", syscall(SYS_init_module, "", 0, ""));
    TRY("kernel: module from a file", syscall(SYS_finit_module, open("/bin/busybox", O_RDONLY), "", 0));
    TRY("kernel: module removed", syscall(SYS_delete_module, "none", O_NONBLOCK));
    TRY("kernel: another one", syscall(SYS_kexec_load, 0, 0, 0, 0));
    TRY("kernel: socket filter by bpf", load_bpf(BPF_PROG_TYPE_SOCKET_FILTER));
    TRY("kernel: tracing by bpf", load_bpf(BPF_PROG_TYPE_KPROBE));
    TRY("kernel: measuring", watch_kernel());
    TRY("kernel: faults by user", syscall(SYS_userfaultfd, 0));
    TRY("kernel: rings", syscall(SYS_io_uring_setup, 1, (char[120]){0}));
    TRY("kernel: log", syscall(SYS_syslog, 3, (char[64]){0}, 64));
    TRY("kernel: keys of the session", syscall(SYS_keyctl, 0, -3, 1));
    TRY("kernel: a key", syscall(SYS_add_key, "user", "evil", "x", 1, -3));
    TRY("kernel: a key asked for", syscall(SYS_request_key, "user", "evil", 0, -3));
    TRY("kernel: ports", ioperm(0x70, 1, 1));
    TRY("kernel: all ports", iopl(3));
    TRY("kernel: accounting", acct("/tmp/account"));
    TRY("kernel: swap", swapon("/bin/busybox", 0));
    TRY("kernel: restart", reboot(RB_DISABLE_CAD));
    TRY("kernel: quota", syscall(SYS_quotactl, 0x800001 << 8, 0, 0, 0));
    TRY("kernel: memory", reads("/proc/kcore"));
    TRY("kernel: physical memory", reads("/dev/mem"));
    TRY("kernel: messages", reads("/dev/kmsg"));
    TRY("kernel: keys of others", reads("/proc/keys"));
    TRY("kernel: timers", reads("/proc/timer_list"));
    TRY("kernel: debugging", reads("/sys/kernel/debug/sched/debug"));
    TRY("kernel: firmware", reads("/sys/firmware/dmi/tables/DMI"));
    TRY("kernel: magic keys", writes("/proc/sysrq-trigger", "h"));
    TRY("kernel: handler of crashes", writes("/proc/sys/kernel/core_pattern", "|/evil"));
    TRY("kernel: helper of modules", writes("/proc/sys/kernel/modprobe", "/evil"));
    TRY("kernel: helper of hot plugging", writes("/sys/kernel/uevent_helper", "/evil"));
    TRY("kernel: interpreter", writes("/proc/sys/fs/binfmt_misc/register", ":evil:M::evil::/evil:"));
    TRY("kernel: clean page cache", writes("/proc/sys/vm/drop_caches", "1"));
    TRY("kernel: forwarding", writes("/proc/sys/net/ipv4/ip_forward", "1"));
    TRY("kernel: out of memory", writes("/proc/1/oom_score_adj", "-1000"));

    TRY("devices: disk", device(S_IFBLK, 8, 0));
    TRY("devices: virtual disk", device(S_IFBLK, 254, 0));
    TRY("devices: memory", device(S_IFCHR, 1, 1));
    TRY("devices: log", device(S_IFCHR, 1, 11));
    TRY("devices: virtual machines", device(S_IFCHR, 10, 232));
    TRY("devices: tunnels", device(S_IFCHR, 10, 200));
    TRY("devices: loop control", device(S_IFCHR, 10, 237));
    TRY("devices: fuse", device(S_IFCHR, 10, 229));
    TRY("devices: first terminal", device(S_IFCHR, 4, 1));
    TRY("devices: typing for others", push_into_terminal());

    TRY("machine: time", clock_settime(CLOCK_REALTIME, &(struct timespec){.tv_sec = time(NULL)}));
    TRY("machine: time of day", settimeofday(&(struct timeval){.tv_sec = time(NULL)}, NULL));
    TRY("machine: pace of the clock", adjtimex(&(struct timex){.modes = ADJ_TICK, .tick = 10000}));
    TRY("machine: name", sethostname("evil", 4));
    TRY("machine: domain", setdomainname("evil", 4));

    TRY("network: another name for the interface", rename_link());
    TRY("network: listening to all", listen_to_all());

    puts("over");
    return 0;
}
