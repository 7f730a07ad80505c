// (e) acquire beside destroy + create in the pool's slot (src/engine/buffers.c). Free list as a counted head over 2 places; word = generation | state.
// Thread 0: acquire with the first handle (generation 1), give back; thread 1: destroy the first pool (until it goes), open the next one in the slot.
// `size` is the pool's plain memory, the acquirer reads it when it owns a buffer: must be its own pool's.
//  V=0 the code (word looked at again after the take) PASS   V=1 3a35889 (no second look) FAIL   V=2 second look relaxed FAIL?
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 0
#endif
#ifndef BOUND
#define BOUND 4
#endif
enum { N=2, FREE=0, CHANGING=1, OPEN=2 };
//@ src/base/freelist.c: uint64_t seen = sqcq__load_acquire(&list->head);
//@ src/base/freelist.c: top = sqcq__load_relaxed(link_of(list, top - 1));
//@ src/base/freelist.c: if (sqcq__cas_acq_rel(&list->head, &seen, head_after(seen, top)))
//@ src/base/freelist.c: while (!sqcq__cas_seq(&list->head, &seen, head_after(seen, indexes[0] + 1)));
//@ src/engine/buffers.c: uint64_t word = sqcq__load_acquire(&pool->word);
//@ src/engine/buffers.c: if (!sqcq__cas_acq_rel(&pool->word, &open, changing))
//@ src/engine/buffers.c: if (here == pool->count) {
//@ src/engine/buffers.c: sqcq__store_seq(&pool->word, sqcq__word(sqcq__handle_generation(handle), SQCQ__POOL_OPEN));
//@ src/engine/buffers.c: uint32_t n = sqcq__freelist_take(&pool->free, places, count - taken < 64 ? count - taken : 64);
//@ src/engine/buffers.c: uint64_t word = sqcq__load_acquire(&pool->word);
//@ src/engine/buffers.c: if (sqcq__word_generation(word) != sqcq__handle_generation(handle)) {
struct T : test_suite<T, 2> {
  atomic<int> word, head, link[N]; rl::var<int> size;
  void before(){ word($)=1*4+OPEN; link[0]($)=2; link[1]($)=0; head($)=1; size($)=1; }
  int take(int*out){ int s=head($).load(mo_acquire); for(;;){ int top=s%16; if(!top) return 0; int nx=link[top-1]($).load(mo_relaxed); if(head($).compare_exchange_strong(s,(s/16+1)*16+nx,mo_acq_rel,mo_acquire)){ *out=top-1; return 1; } } }
  void put(int i){ int s=head($).load(mo_relaxed); do link[i]($).store(s%16,mo_relaxed); while(!head($).compare_exchange_strong(s,(s/16+1)*16+i+1,mo_release,mo_relaxed)); }
  void thread(unsigned t){
    if(t==0){ for(int k=0;k<2;k++){ if(word($).load(mo_acquire)!=1*4+OPEN) return; int i; if(!take(&i)) continue;
#if V!=1
        int w=word($).load(V==2?mo_relaxed:mo_acquire); if(w/4!=1){ put(i); return; }
#endif
        RL_ASSERT(size($)==1); put(i); } }
    else { linear_backoff b; for(int tries=0;tries<4;tries++){
        int o=1*4+OPEN; if(!word($).compare_exchange_strong(o,1*4+CHANGING,mo_acq_rel,mo_acquire)) RL_ASSERT(false);
        int got[N],n=0; while(n<N && take(&got[n])) n++; int x; RL_ASSERT(n<N || !take(&x));
        if(n<N){ while(n) put(got[--n]); word($).store(1*4+OPEN,mo_release); b.yield($); continue; }
        size($)=0; word($).store(1*4+FREE,mo_release);
        int f=1*4+FREE; word($).compare_exchange_strong(f,2*4+CHANGING,mo_acq_rel,mo_acquire); size($)=2; put(1); put(0); word($).store(2*4+OPEN,mo_release); return; } } }
};
int main(){ test_params p; p.search_type=sched_bound; p.context_bound=BOUND; p.iteration_count=100000000; p.execution_depth_limit=4000; bool r=simulate<T>(p); printf("pool V=%d BOUND=%d: %s iters=%u\n",V,BOUND,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
